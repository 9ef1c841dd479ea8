// The agent's panel: the call, and who speaks to the agent. Narrow, for the side of a CRM.
import { Desk, takeToken } from "./desk.js";
import { SignIn } from "./signin.js";
import { Icon, announce, duration, html, render, useClock, useDesk, useEffect, useTheme } from "./ui.js";
import { MODES, party } from "./words.js";

const SAYS = { whisper: "Whisper active", barge: "Joined the call" };

function Panel({ desk }) {
  const now = useClock(desk);
  const { calls, coaches, name } = desk.panel;
  const whispers = coaches.filter((each) => each.mode !== "listen");
  const text = whispers.map((each) => `${SAYS[each.mode]}: ${each.name}`).join(". ");
  useEffect(() => announce(text || "No coaching"), [text]);
  return html`<main class="panel">
    <header><h1 class="clip">${name}</h1>
      <p class="status" data-state=${desk.status === "live" ? "live" : "stale"} role="status"><span class="dot"></span>${desk.status === "live" ? "Live" : "Not up to date"}</p>
    </header>
    ${whispers.map((each) => html`<section key=${each.session} class="badge" data-mode=${each.mode}>
      <${Icon} name=${each.mode} />
      <div class="grow"><strong>${SAYS[each.mode]}</strong><span class="clip">${each.name}</span></div>
      <span class="lamp" data-gate=${each.gate}><span class="dot"></span>${each.gate === "closed" ? "silent" : "speaks to you"}</span>
    </section>`)}
    ${calls.map((call) => html`<section key=${call.id} class="call">
      <${Icon} name=${call.direction} />
      <div class="grow"><strong class="clip"><bdi>${party(call).main}</bdi></strong><span class="faint clip">${[party(call).more, call.queue].filter(Boolean).join(" · ")}</span></div>
      <span class="time">${duration(now - call.started_at)}</span>
      ${call.held && html`<span class="chip" data-hold><${Icon} name="hold" />Hold</span>`}
    </section>`)}
    ${!calls.length && html`<p class="empty">No call at the moment.</p>`}
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
render(html`<${App} desk=${desk} />`, document.getElementById("app"));
