// Which device is rung, and this browser's own microphone and speaker.
import { html, useDesk, useEffect, useRef, useState } from "./ui.js";

const BROWSER = "browser";
const FLOOR = -60; // dBFS at the left end of the meter
const METER_MS = 100; // a page that is drawn again for every look is most of what it costs when nothing else goes on
const METER_DB = 3; // what differs by less looks the same, and is not drawn

/** What was chosen last: a desk phone of the token's, or this browser. */
export function useChoice(desk, phone) {
  const [kept, keep] = useState(() => localStorage.getItem("ccwhisper.device") ?? "");
  const desks = desk.me?.devices ?? [];
  const can = !!desk.me?.browser_phone && desk.me.permissions.includes("monitor_live_calls");
  const chosen = can && (kept === BROWSER || !desks.length) ? BROWSER : desks.includes(kept) ? kept : (desks[0] ?? "");
  useEffect(() => {
    if (chosen === BROWSER && desk.status !== "refused") phone.start();
    else if (phone.on && !phone.taken) phone.stop(); // a customer is not cut off because a token has expired
  }, [chosen, desk.status === "refused", phone.taken]);
  const choose = (device) => {
    localStorage.setItem("ccwhisper.device", device);
    keep(device);
  };
  return { chosen, desks, can, choose, device: chosen === BROWSER ? phone.device : chosen || null, why: chosen === BROWSER ? phone.hindrance : "" };
}

function Meter({ phone }) {
  const bar = useRef(null);
  useEffect(() => {
    const draw = () => {
      const level = METER_DB * Math.round(Math.max(0, phone.level() - FLOOR) / METER_DB);
      if (bar.current && bar.current.value !== level) bar.current.value = level; // no bar any more, when it has just been taken away
    };
    draw();
    const timer = setInterval(draw, METER_MS);
    return () => clearInterval(timer);
  }, [phone]);
  return html`<meter ref=${bar} min="0" max=${-FLOOR} aria-label="Level of the microphone"></meter>`;
}

/** How good this browser's way to the switch is, during a call. */
export function Quality({ phone }) {
  const [now, set] = useState(null);
  useEffect(() => {
    const timer = setInterval(() => phone.quality().then(set), 1000);
    return () => clearInterval(timer);
  }, [phone]);
  if (!now) return null;
  return html`<p class="quality" data-poor=${now.poor ? "" : undefined}>The agent hears you about ${now.delay} ms later · ${Math.round(100 * now.loss)} % lost
    <span class="faint">There and back ${Math.round(now.trip)} ms · jitter ${Math.round(now.jitter)} ms</span>
    ${now.poor && html`<strong role="status">${now.poor}</strong>`}</p>`;
}

function Pick({ label, kind, phone, list }) {
  const there = list.some((each) => each.deviceId === phone.settings[kind]); // or it is unplugged
  return html`<label class="field"><span>${label}</span>
    <select value=${there ? phone.settings[kind] : ""} onChange=${(event) => phone.set({ [kind]: event.currentTarget.value })}>
      <option value="">The system's</option>
      ${list.filter((each) => each.deviceId && each.deviceId !== "default").map((each) => html`<option key=${each.deviceId} value=${each.deviceId}>${each.label || each.deviceId.slice(0, 8)}</option>`)}
    </select>
  </label>`;
}

function HangUp({ phone }) {
  return html`<button type="button" onClick=${() => phone.hangUp()}>Hang up</button>`;
}

/** What is left of the page to somebody whose token has expired while he talks with a caller. */
export function Taken({ phone }) {
  if (!phone.taken) return null;
  return html`<p class="notice" role="status"><span class="grow">${phone.hindrance}</span><${HangUp} phone=${phone} /></p>`;
}

/** The device, and below it what only a browser needs. */
export function Phone({ choice, phone, mine }) {
  useDesk(phone);
  const [lists, setLists] = useState({ input: [], output: [] });
  const browser = choice.chosen === BROWSER;
  useEffect(() => {
    const look = () => phone.devices().then(setLists);
    look();
    phone.addEventListener("devices", look);
    return () => phone.removeEventListener("devices", look);
  }, [browser, phone.microphone]);
  if (!choice.can) return null;
  const broken = ["denied", "missing", "taken"].includes(phone.microphone);
  const bad = broken || phone.microphone === "insecure" || phone.silenced;
  return html`<section class="device" aria-label="Your device">
    <label class="field"><span>You speak with</span>
      <select value=${choice.chosen} disabled=${!!mine || phone.taken} onChange=${(event) => {
        choice.choose(event.currentTarget.value);
        event.currentTarget.blur(); // or the next key would choose once more
      }}>
        ${choice.desks.map((each) => html`<option key=${each} value=${each}>Phone ${each.replace(/@.*/, "")}</option>`)}
        <option value=${BROWSER}>This browser</option>
      </select>
    </label>
    ${browser && html`
      <${Pick} label="Microphone" kind="input" phone=${phone} list=${lists.input} />
      ${"setSinkId" in Audio.prototype && html`<${Pick} label="Speaker" kind="output" phone=${phone} list=${lists.output} />`}
      <label class="check"><input type="checkbox" checked=${phone.settings.filter} onChange=${(event) => phone.set({ filter: event.currentTarget.checked })} /> Take out echo and noise</label>
      <${Meter} phone=${phone} />
      <button type="button" aria-pressed=${phone.echoes} disabled=${!!mine || phone.taken || phone.microphone !== "ready"} onClick=${() => phone.echo(!phone.echoes)}>Hear yourself</button>
      <p role="status" class=${bad ? "grow" : "faint grow"} data-bad=${bad ? "" : undefined}>${phone.hindrance || (phone.busy ? "This browser is in the call." : "This browser can be rung.")}
        ${phone.silenced && " The browser plays no sound before this page has been touched: click anywhere."}
        ${(phone.taken || (phone.busy && !phone.desk.sure())) && html` <${HangUp} phone=${phone} />`}
        ${broken && html` <button type="button" onClick=${() => phone.start()}>Try again</button>`}</p>`}
  </section>`;
}
