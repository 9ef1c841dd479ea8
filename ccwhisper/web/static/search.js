// A search: a form whose fields are the query of the address, and parameters of the API.
import { html, useEffect, useRef, useState } from "./ui.js";

/** A moment as a datetime-local control has it, in the reader's own time zone. */
const local = (iso) => {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? "" : new Date(at.getTime() - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
};

/** A year of five digits is no moment that there is; the service says so. */
const instant = (value) => {
  const at = new Date(value);
  return Number.isNaN(at.getTime()) ? value : at.toISOString();
};

const isMoment = (name) => name === "from" || name === "to";

function filled(query, nothing) {
  const given = new URLSearchParams(query);
  return Object.fromEntries(Object.keys(nothing).map((name) => {
    const value = given.get(name) ?? "";
    return [name, value && isMoment(name) ? local(value) : value];
  }));
}

function asked(form) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(form)) {
    if (value.trim()) query.set(name, isMoment(name) ? instant(value) : value.trim());
  }
  return query.toString();
}

/** `search` is told the next query. `nothing` is the form without any, from `from` and `to` on, which are times; `fields`
 * makes the others, with `field(name, title, more)` and `choice(name, title, options)`. */
export function Search({ query, search, nothing, fields }) {
  const [form, setForm] = useState(() => filled(query, nothing));
  const [more, setMore] = useState(false); // where there is little room
  const shown = useRef(query);
  useEffect(() => {
    if (shown.current !== query) setForm(filled(query, nothing)); // by a link, or back; what is being typed stays
    shown.current = query;
  }, [query]);
  const change = (event) => setForm({ ...form, [event.currentTarget.name]: event.currentTarget.value });
  const field = (name, title, rest = {}) => html`<label class="field"><span>${title}</span>
    <input name=${name} value=${form[name]} maxlength="128" autocomplete="off" spellcheck="false" onInput=${change} ...${rest} /></label>`;
  const choice = (name, title, options) => html`<label class="field"><span>${title}</span>
    <select name=${name} value=${form[name]} onChange=${change}>
      ${options.map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}</select></label>`;
  return html`<form class="tools filter" role="search" data-more=${more || undefined} onSubmit=${(event) => { event.preventDefault(); search(asked(form)); }}>
    ${fields({ field, choice })}
    ${field("from", "From", { type: "datetime-local", maxlength: undefined })}
    ${field("to", "Before", { type: "datetime-local", maxlength: undefined })}
    <div class="buttons"><button type="submit" class="main">Search</button>
      <button type="button" class="unfold" aria-expanded=${more} onClick=${() => setMore(!more)}>Filters</button>
      <button type="button" onClick=${() => { setForm(nothing); search(""); }}>Clear</button></div>
  </form>`;
}
