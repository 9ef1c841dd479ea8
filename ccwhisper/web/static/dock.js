// The coaching of one call: mode, microphone, who hears whom, who else is there.
import { Cues } from "./cues.js";
import { Quality } from "./phone.js";
import { Recorded, Whispers } from "./recorded.js";
import { Icon, Offer, duration, html, useClock, useEffect, useState } from "./ui.js";
import { MODES, heardBy, hindrance, party, stage } from "./words.js";

function TakeOver({ ask, may, why, refused }) {
  const [sure, setSure] = useState(false);
  useEffect(() => {
    if (!sure) return undefined;
    const timer = setTimeout(() => setSure(false), 4000);
    return () => clearTimeout(timer);
  }, [sure]);
  const press = () => {
    if (why) return refused({ message: why });
    if (sure) ask("take_over");
    return setSure(!sure);
  };
  return html`<${Offer} id="take-over" class="take" why=${why} disabled=${!may} data-sure=${sure || undefined} onClick=${press}>
    <${Icon} name="take" />${sure ? "Press again to release the agent" : "Take over"}
  <//>`;
}

function Talk({ desk, session }) {
  const held = desk.pressing?.session === session.id;
  useEffect(() => () => desk.release(0), [desk, session.id]); // gone with the button: it hears of no finger that is lifted
  const hold = (event) => {
    event.preventDefault();
    event.currentTarget.setPointerCapture?.(event.pointerId);
    desk.press(session.id);
  };
  return html`<button type="button" class="hold" aria-pressed=${held} data-open=${(desk.sure() && session.gate !== "closed") || undefined}
      onPointerDown=${hold} onPointerUp=${() => desk.release()} onPointerCancel=${() => desk.release()}
      onContextMenu=${(event) => event.preventDefault()}
      onKeyDown=${(event) => event.key === "Enter" && (event.repeat ? desk.repeated() : desk.press(session.id))}
      onKeyUp=${(event) => event.key === "Enter" && desk.release()} onBlur=${() => desk.release()}>
    ${held ? "Speaking" : "Hold to speak"} <kbd>Space</kbd>
  </button>`;
}

export function Dock({ desk, phone, session, ask, can, refused }) {
  const now = useClock(desk);
  const call = desk.calls.get(session.call);
  const others = [...desk.coaches.values()].filter(
    (each) => each.session !== session.id && (session.call ? each.call === session.call : each.agent === session.agent),
  );
  const attached = session.phase === "attached";
  const ready = attached && !session.held;
  const speaks = session.mode !== "listen";
  const why = (way, permitted) => (permitted ? call && hindrance(desk, call, way) : "Your token does not permit this.");
  return html`<aside class="dock" data-mode=${session.mode} aria-label="Coaching ${session.agent_name}">
    <header>
      <div class="grow">
        <h2>${session.agent_name}</h2>
        <p class="faint clip">${call ? html`<span class="time">${duration(now - call.started_at)}</span> · <bdi>${party(call).main}</bdi> · ${call.queue ?? call.direction}` : "no call at the moment"}</p>
      </div>
      <button type="button" class="plain" title="Leave (X)" onClick=${() => ask("leave")}><${Icon} name="leave" />Leave</button>
    </header>
    <p class="lamp" data-gate=${desk.sure() ? session.gate : "unknown"}><span class="dot"></span>${heardBy(desk, session)}</p>
    <p class="stage" data-busy=${attached ? undefined : ""}>${stage(desk, session)}</p>
    <${Whispers} session=${session} call=${call} />
    <div class="modes" role="group" aria-label="Mode">
      ${Object.entries(MODES).map(([name, words]) => html`<${Offer} key=${name} data-mode=${name} why=${why(name, can[name])} title=${words.hint}
          aria-pressed=${session.mode === name} data-wanted=${(session.wanted === name && session.mode !== name) || undefined} disabled=${!attached}
          onClick=${() => (why(name, can[name]) ? refused({ message: why(name, can[name]) }) : ask("set_mode", { mode: name }))}>
        <${Icon} name=${name} /><span>${words.name}</span><kbd>${name[0].toUpperCase()}</kbd>
      <//>`)}
    </div>
    <div class="voice">
      <button type="button" aria-pressed=${session.talk === "push"} disabled=${!ready}
        onClick=${() => ask("set_talk", { talk: session.talk === "push" ? "open" : "push" })}>
        ${session.talk === "push" ? "Push-to-talk" : "Open mic"} <kbd>P</kbd>
      </button>
      <button type="button" aria-pressed=${session.muted} disabled=${!attached} onClick=${() => ask("set_muted", { muted: !session.muted })}>
        <${Icon} name=${session.muted ? "muted" : "whisper"} />${session.muted ? "Muted" : "Mute"} <kbd>M</kbd>
      </button>
    </div>
    ${session.talk === "push" && speaks && html`<${Talk} desk=${desk} session=${session} />`}
    ${session.device === phone.device && html`<${Quality} phone=${phone} />`}
    ${!!others.length && html`<section class="others" aria-label="Also coaching">
      <h3>Also here</h3>
      <ul>${others.map((each) => html`<li key=${each.session} data-mode=${each.mode}>
        <span class="dot" data-open=${each.gate !== "closed" || undefined}></span>${each.name} <span class="faint">${MODES[each.mode].doing}${each.muted ? ", muted" : each.gate === "closed" ? "" : ", heard now"}</span>
      </li>`)}</ul>
    </section>`}
    ${call && html`<${Recorded} desk=${desk} call=${call} refused=${refused} />`}
    <${Cues} desk=${desk} session=${session} queue=${call?.queue ?? ""} refused=${refused} />
    <footer><${TakeOver} ask=${ask} may=${ready && call} why=${why("take_over", can.barge)} refused=${refused} /></footer>
  </aside>`;
}
