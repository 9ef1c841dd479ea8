// Controls of the policies' form. `path` is the control's id and the key that the service names when it is wrong.
import { html, useEffect, useState } from "./ui.js";

const OCCASIONS = { listen: "Somebody listens", whisper: "Whisper begins", barge: "Somebody joins the call", end: "It ends" };

/** A number as typed; what is none is left to the service to refuse. */
const number = (event) => (event.currentTarget.value === "" ? "" : Number(event.currentTarget.value));

/** Some of several, or with `single` one of them. */
export function Choices({ path, options, value, set, single, label }) {
  const change = (name, on) => set(single ? name : Object.keys(options).filter((each) => (each === name ? on : value.includes(each))));
  return html`<div class="choices" id=${path} tabindex="-1" role="group" aria-label=${label}>
    ${Object.entries(options).map(([name, words]) => html`<label key=${name} class="check"><input type=${single ? "radio" : "checkbox"} name=${path}
        checked=${single ? value === name : value.includes(name)} onChange=${(event) => change(name, event.currentTarget.checked)} />${words}</label>`)}
  </div>`;
}

export function Whole({ path, value, set, bad, label, min, max, unit }) {
  return html`<label class="field short"><span>${label}${unit ? ` (${unit})` : ""}</span>
    <input id=${path} type="number" inputmode="numeric" min=${min} max=${max} step="1" value=${value ?? ""} ...${bad(path)}
      onInput=${(event) => set(number(event))} /></label>`;
}

/** Text that stands for something else: what is typed stays as it is typed. */
function useText(value, read, write) {
  const [text, setText] = useState(write(value));
  useEffect(() => {
    if (JSON.stringify(read(text)) !== JSON.stringify(value)) setText(write(value));
  }, [JSON.stringify(value)]);
  return [text, setText];
}

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

export function Lines({ path, value, set, bad, label }) {
  const [text, setText] = useText(value, lines, (list) => list.join("\n"));
  return html`<label class="field"><span>${label}</span>
    <textarea id=${path} rows="5" value=${text} ...${bad(path)} onInput=${(event) => {
      setText(event.currentTarget.value);
      set(lines(event.currentTarget.value));
    }}></textarea></label>`;
}

const hertz = (text) => text.split(/[\s,]+/).filter(Boolean).map((each) => (Number.isFinite(Number(each)) ? Number(each) : each));

function Hertz({ path, value, set, bad }) {
  const [text, setText] = useText(value, hertz, (list) => list.join(", "));
  return html`<label class="field"><span>Hertz</span>
    <input id=${path} value=${text} inputmode="decimal" autocomplete="off" ...${bad(path)} onInput=${(event) => {
      setText(event.currentTarget.value);
      set(hertz(event.currentTarget.value));
    }} /></label>`;
}

/** What the agent will hear, about as loud as in a phone at the same volume. */
function play({ level, parts }) {
  const sound = new AudioContext();
  let at = sound.currentTime + 0.05;
  for (const [length, pause, tones] of parts) {
    const loudness = sound.createGain();
    loudness.gain.value = 10 ** ((level - 3.17) / 20) / tones.length;
    loudness.connect(sound.destination);
    for (const tone of tones) {
      const source = sound.createOscillator();
      source.frequency.value = tone;
      source.connect(loudness);
      source.start(at);
      source.stop(at + length / 1000);
    }
    at += (length + pause) / 1000;
  }
  setTimeout(() => sound.close(), (at - sound.currentTime) * 1000 + 200);
}

export function Beep({ path, value, set, bad }) {
  const { on, level, parts } = value;
  const part = (index, place, next) => set({ ...value, parts: parts.map((each, at) => (at === index ? each.map((one, where) => (where === place ? next : one)) : each)) });
  const sound = Number.isFinite(level) && parts.every(([length, pause, tones]) => length > 0 && pause >= 0 && tones.length && tones.every(Number.isFinite));
  return html`<div class="beep">
    <${Choices} path=${`${path}.on`} options=${OCCASIONS} value=${on} set=${(next) => set({ ...value, on: next })} label="When" />
    <${Whole} path=${`${path}.level`} value=${level} set=${(next) => set({ ...value, level: next })} bad=${bad} label="Level" unit="dBm0" min="-60" max="0" />
    <ol class="parts" id=${`${path}.parts`} tabindex="-1" aria-label="Tones, one after the other">${parts.map((each, index) => html`<li key=${index}>
      <${Whole} path=${`${path}.parts.${index}.0`} value=${each[0]} set=${(next) => part(index, 0, next)} bad=${bad} label="Tone" unit="ms" min="10" max="2000" />
      <${Whole} path=${`${path}.parts.${index}.1`} value=${each[1]} set=${(next) => part(index, 1, next)} bad=${bad} label="Pause" unit="ms" min="0" max="2000" />
      <${Hertz} path=${`${path}.parts.${index}.2`} value=${each[2]} set=${(next) => part(index, 2, next)} bad=${bad} />
      <button type="button" disabled=${parts.length < 2} aria-label=${`Remove tone ${index + 1}`} onClick=${() => set({ ...value, parts: parts.filter((_, at) => at !== index) })}>Remove</button>
    </li>`)}</ol>
    <div class="buttons">
      <button type="button" disabled=${parts.length >= 8} onClick=${() => set({ ...value, parts: [...parts, [200, 0, [1400]]] })}>Add a tone</button>
      <button type="button" disabled=${!sound} onClick=${() => play(value)}>Play it</button>
    </div>
  </div>`;
}
