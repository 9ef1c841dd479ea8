// The keys of a page.
import { html, useEffect, useRef } from "./ui.js";

/** A dialog that lists them: pairs of a key and what it does. */
export function Help({ keys, close }) {
  const box = useRef(null);
  useEffect(() => box.current.showModal(), []);
  return html`<dialog ref=${box} class="help" aria-labelledby="help-title" onClose=${close}>
    <h2 id="help-title">Keys</h2>
    <dl>${keys.map(([key, does]) => html`<div key=${key}><dt>${key}</dt><dd>${does}</dd></div>`)}</dl>
    <button type="button" class="plain" onClick=${() => box.current.close()}>Close</button>
  </dialog>`;
}
