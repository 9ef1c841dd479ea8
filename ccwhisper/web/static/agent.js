// The agent's panel: the call, who speaks to the agent, and cues. Narrow, for the side of a CRM.
import { Desk, takeToken } from "./desk.js";
import { float, floats } from "./floating.js";
import { Recorded, toggleRecording } from "./recorded.js";
import { SignIn } from "./signin.js";
import { Icon, announce, duration, html, render, useClock, useDesk, useEffect, useLayoutEffect, useRef, useState, useTheme } from "./ui.js";
import { REPLIES, party } from "./words.js";

const SAYS = { listen: "Listening", whisper: "Whisper active", barge: "Joined the call" };
const ANSWERS = Object.entries(REPLIES);

// Who holds the panel in a frame is on the list of `service.frames`, or the browser would not show it (docs/panel.md).
function tellParent(message) {
  if (parent !== window) parent.postMessage(message, location.ancestorOrigins?.[0] ?? "*");
}

function Cue({ desk, cue, newest, refused }) {
  const place = useRef(null);
  useEffect(() => {
    if (cue.read_at) return undefined;
    const seen = () => !place.current.ownerDocument.hidden && desk.ask("see_cue", { cue: cue.id }, { read: true }).catch(() => {});
    const watcher = new IntersectionObserver((entries) => entries.some((each) => each.isIntersecting) && seen(), { threshold: 0.5 });
    watcher.observe(place.current);
    return () => watcher.disconnect();
  }, [cue.id, cue.read_at]);
  return html`<li ref=${place} class="cue" data-newest=${newest || undefined}>
    <p>${cue.text}</p>
    <p class="faint">${cue.name}${cue.reply ? ` · ${REPLIES[cue.reply]}` : ""}</p>
    ${newest && !cue.reply && html`<div class="answers">${ANSWERS.map(([reply, words], at) => html`<button type="button" key=${reply}
        onClick=${() => desk.ask("reply_to_cue", { cue: cue.id }, { reply }).catch(refused)}>${words} <kbd>${at + 1}</kbd></button>`)}</div>`}
  </li>`;
}

/** The coach's lines, newest first. */
function Script({ desk, refused }) {
  const cues = [...desk.panel.cues].reverse();
  if (!cues.length) return html`<p class="empty">No cues.</p>`;
  return html`<ul class="script" aria-label="Cues" aria-live="polite">
    ${cues.map((cue, at) => html`<${Cue} key=${cue.id} desk=${desk} cue=${cue} newest=${at === 0} refused=${refused} />`)}
  </ul>`;
}

function Hand({ desk, hand, refused }) {
  if (hand) {
    return html`<section class="hand"><${Icon} name="hand" /><p class="grow"><strong>You asked for help</strong></p>
      <button type="button" onClick=${() => desk.ask("lower_hand").catch(refused)}>Take back</button></section>`;
  }
  return html`<button type="button" class="raise" onClick=${() => desk.ask("raise_hand", {}, {}).catch(refused)}><${Icon} name="hand" />Raise hand <kbd>H</kbd></button>`;
}

/** A short tone, if the agent wants one; the beep itself is in the phone. Kept for the next visit. */
function useChime(wanted) {
  const [on, set] = useState(() => localStorage.getItem("ccwhisper.chime") === "on");
  const before = useRef(wanted);
  const audio = useRef(null);
  const play = () => {
    audio.current ??= new AudioContext();
    const [tone, level] = [audio.current.createOscillator(), audio.current.createGain()];
    tone.frequency.value = 880;
    level.gain.setValueAtTime(0.08, audio.current.currentTime);
    level.gain.exponentialRampToValueAtTime(0.001, audio.current.currentTime + 0.25);
    tone.connect(level).connect(audio.current.destination);
    tone.start();
    tone.stop(audio.current.currentTime + 0.25);
  };
  useEffect(() => {
    if (on && wanted && !before.current) play();
    before.current = wanted;
  }, [wanted]);
  const toggle = () => {
    localStorage.setItem("ccwhisper.chime", on ? "off" : "on");
    if (!on) play(); // that click is also what lets the browser sound at all
    set(!on);
  };
  return [on, toggle];
}

/** The recorded call that he speaks in: one on hold says no card number. */
const spoken = (calls) => calls.find((call) => call.recording && !call.held) ?? calls.find((call) => call.recording);

function Panel({ desk }) {
  const now = useClock(desk);
  const [problem, setProblem] = useState("");
  const [floating, setFloating] = useState(null);
  const refused = (error) => setProblem(error.message);
  const { calls, coaches, cues, hand, name } = desk.panel;
  const [chime, toggleChime] = useChime(coaches.some((each) => each.mode !== "listen"));
  const text = coaches.map((each) => `${SAYS[each.mode]}: ${each.name}`).join(". ");
  useEffect(() => announce(text || "No coaching"), [text]);
  useEffect(() => {
    for (const cue of cues) if (!cue.delivered_at) desk.ask("see_cue", { cue: cue.id }, { read: false }).catch(() => {});
  }, [cues.map((cue) => cue.id).join()]);
  useEffect(() => {
    tellParent({ type: "ccwhisper.coaching", coaches: coaches.map(({ name: who, mode, gate }) => ({ name: who, mode, gate })) });
  }, [JSON.stringify(coaches)]);

  const keys = useRef(null);
  keys.current = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.matches?.("input, textarea")) return;
    const newest = cues.at(-1);
    const answer = ANSWERS[Number(event.key) - 1];
    if (answer && newest && !newest.reply) desk.ask("reply_to_cue", { cue: newest.id }, { reply: answer[0] }).catch(refused);
    else if (event.key.toLowerCase() === "r") toggleRecording(desk, spoken(calls)).catch(refused);
    else if (event.key.toLowerCase() === "h") desk.ask(hand ? "lower_hand" : "raise_hand", {}, hand ? undefined : {}).catch(refused);
  };
  useLayoutEffect(() => { // whoever sees the panel can use its keys
    const listen = (event) => keys.current(event);
    addEventListener("keydown", listen);
    return () => removeEventListener("keydown", listen);
  }, []);
  useEffect(() => {
    if (!floating) return undefined;
    const listen = (event) => keys.current(event);
    floating.addEventListener("keydown", listen);
    return () => floating.removeEventListener("keydown", listen);
  }, [floating]);
  useEffect(() => {
    if (floating) render(html`<div class="floating"><${Script} desk=${desk} refused=${refused} /></div>`, floating.document.body);
  });

  const open = async () => {
    const opened = await float(() => setFloating(null));
    if (opened) setFloating(opened);
    else setProblem("The browser did not open the window.");
  };

  return html`<main class="panel">
    <header><h1 class="clip">${name}</h1>
      <p class="status" data-state=${desk.status === "live" ? "live" : "stale"} role="status"><span class="dot"></span>${desk.status === "live" ? "Live" : "Not up to date"}</p>
    </header>
    ${problem && html`<p class="notice" data-bad role="alert">${problem}</p>`}
    ${coaches.map((each) => html`<section key=${each.session} class="badge" data-mode=${each.mode}>
      <${Icon} name=${each.mode} />
      <div class="grow"><strong>${SAYS[each.mode]}</strong><span class="clip">${each.name}</span></div>
      ${each.mode !== "listen" && html`<span class="lamp" data-gate=${desk.sure() ? each.gate : "unknown"}><span class="dot"></span>${!desk.sure() ? "not known" : each.gate === "closed" ? "silent" : "speaks to you"}</span>`}
    </section>`)}
    ${calls.map((call) => [html`<section key=${call.id} class="call">
      <${Icon} name=${call.direction} />
      <div class="grow"><strong class="clip"><bdi>${party(call).main}</bdi></strong><span class="faint clip">${[party(call).more, call.queue].filter(Boolean).join(" · ")}</span></div>
      <span class="time">${duration(now - call.started_at)}</span>
      ${call.held && html`<span class="chip" data-hold><${Icon} name="hold" />Hold</span>`}
    </section>`, html`<${Recorded} key="recording of ${call.id}" desk=${desk} call=${call} refused=${refused} />`])}
    ${!calls.length && html`<p class="empty">No call at the moment.</p>`}
    ${!!cues.length && !floating && html`<${Script} desk=${desk} refused=${refused} />`}
    <footer>
      <${Hand} desk=${desk} hand=${hand} refused=${refused} />
      ${floats() && html`<button type="button" aria-pressed=${!!floating} onClick=${() => (floating ? floating.close() : open())}>${floating ? "Cues are in their own window" : "Float the cues"}</button>`}
      <button type="button" aria-pressed=${chime} onClick=${toggleChime}>${chime ? "Sound when whispered to: on" : "Sound when whispered to: off"}</button>
    </footer>
  </main>`;
}

function App({ desk }) {
  useDesk(desk);
  useTheme();
  if (desk.panel) return html`<${Panel} desk=${desk} />`;
  if (desk.me && !desk.me.agent) return html`<p class="empty">This token is not an agent's.</p>`;
  if (desk.status === "connecting" || desk.status === "stale") return html`<p class="empty">Connecting …</p>`;
  return html`<${SignIn} desk=${desk} what="panel" />`;
}

const desk = new Desk(location.origin);
const token = takeToken();
if (token) desk.connect(token);
addEventListener("message", ({ source, data }) => {
  if (source !== parent || parent === window || data?.type !== "ccwhisper.token" || typeof data.token !== "string") return;
  sessionStorage.setItem("ccwhisper.token", data.token);
  desk.connect(data.token);
});
tellParent({ type: "ccwhisper.ready" });
render(html`<${App} desk=${desk} />`, document.getElementById("app"));
