// The supervisor's dashboard: queues, calls and agents as they are now, and the coaching of one call.
import { Desk, takeToken } from "./desk.js";
import { Dock } from "./dock.js";
import { Calls, arrange, queuesOf } from "./calls.js";
import { Help } from "./help.js";
import { People, people } from "./people.js";
import { Phone, Taken, useChoice } from "./phone.js";
import { Queues } from "./queues.js";
import { Recorded, toggleRecording } from "./recorded.js";
import { SignIn } from "./signin.js";
import { Softphone } from "./softphone.js";
import { Taps } from "./taps.js";
import { Icon, Offer, announce, duration, html, render, useClock, useDesk, useEffect, useMemo, useRef, useState, useTheme } from "./ui.js";
import { BUSY, GOOD_ENDS, MODES, ending, heardBy, hindrance, stage } from "./words.js";

const KEYS = [
  ["A", "calls or agents"],
  ["↑ ↓", "choose a call or an agent"],
  ["Enter or L", "listen to it; when coaching, back to listening"],
  ["W", "whisper"],
  ["B", "barge in"],
  ["T, twice", "take over"],
  ["Space, held", "speak, with push-to-talk"],
  ["P", "push-to-talk or open microphone"],
  ["M", "mute or unmute"],
  ["C", "write a cue"],
  ["R", "pause the recording, for a card number; and go on"],
  ["H", "answer the first who asks for help"],
  ["F", "follow the agent, from call to call"],
  ["X", "leave"],
  ["/", "search"],
  ["?", "this list"],
];

function typing(event) {
  return event.target instanceof HTMLElement && event.target.matches("input:not([type=checkbox]), textarea, select, [contenteditable]");
}

/** The most that can be done for the first who asks: a whisper rather than listening. If nothing can, it says why. */
function answerHand() {
  const hands = [...document.querySelectorAll(".hand")].map((hand) => [...hand.querySelectorAll("button")]);
  const found = hands.map((offers) => offers.findLast((each) => !each.ariaDisabled)).find(Boolean);
  (found ?? hands.flat()[0])?.click();
}

function Hands({ desk, start, ask, mine, can }) {
  const now = useClock(desk);
  const hands = [...desk.hands.values()].sort((a, b) => a.raised_at - b.raised_at);
  if (!hands.length) return null;
  return html`<section class="hands" aria-label="Agents who ask for help">
    ${hands.map((hand) => {
      const call = desk.calls.get(hand.call);
      const why = (way) => (mine ? BUSY : hindrance(desk, call, way));
      const heard = mine?.agent === hand.agent; // by us, who are there already
      return html`<div class="hand" key=${hand.agent}>
        <${Icon} name="hand" />
        <p class="grow"><strong>${hand.name} asks for help</strong>${hand.note && html` <q>${hand.note}</q>`}
          <span class="faint"> ${call?.queue ?? hand.queues.join(", ")} · ${duration(now - hand.raised_at)} ago${call ? "" : " · no call"}</span></p>
        ${heard && call && can.whisper && mine.mode === "listen" && html`<${Offer} why=${hindrance(desk, call, "whisper")}
          onClick=${() => ask("set_mode", { mode: "whisper" })}><${Icon} name="whisper" />Whisper<//>`}
        ${!heard && call && can.listen && html`<${Offer} why=${why("listen")} onClick=${() => start(call)}><${Icon} name="listen" />Listen<//>`}
        ${!heard && call && can.listen && can.whisper && html`<${Offer} why=${why("whisper")} onClick=${() => start(call, "whisper")}><${Icon} name="whisper" />Whisper<//>`}
      </div>`;
    })}
  </section>`;
}

function Status({ desk }) {
  const down = [...desk.nodes.values()].filter((node) => !node.up).map((node) => node.name);
  const state = desk.status !== "live" ? "stale" : down.length ? "degraded" : "live";
  const words = {
    live: "Live",
    degraded: `Switch ${down.join(", ")} is not connected`,
    stale: desk.status === "connecting" ? "Connecting …" : "Not up to date: no connection",
  };
  return html`<p class="status" data-state=${state} role="status"><span class="dot"></span>${words[state]}</p>`;
}

const ORDERS = {
  calls: { "started": "Longest", "started down": "Newest", "agent": "Agent", "party": "Caller", "queue": "Queue", "coaches": "Coached" },
  agents: { "agent": "Agent", "presence": "Status", "since": "Longest", "since down": "Newest" },
};

/** What the headings of the columns do, where there is no room for them. */
function Sort({ view, filter, change }) {
  const now = `${filter.sort}${filter.down ? " down" : ""}`;
  const set = (event) => {
    const [sort, down] = event.currentTarget.value.split(" ");
    change({ sort, down: !!down });
  };
  return html`<label class="field sort" key=${`sort ${view}`}><span>Sort</span>
    <select value=${now} onChange=${set}>
      ${!(now in ORDERS[view]) && html`<option value=${now}>As the columns</option>`}
      ${Object.entries(ORDERS[view]).map(([each, text]) => html`<option key=${each} value=${each}>${text}</option>`)}
    </select>
  </label>`;
}

function useTeam() {
  const [team, set] = useState(() => new Set(JSON.parse(localStorage.getItem("ccwhisper.team") ?? "[]")));
  const toggle = (agent) => {
    const next = new Set(team);
    if (!next.delete(agent)) next.add(agent);
    localStorage.setItem("ccwhisper.team", JSON.stringify([...next]));
    set(next);
  };
  return [team, toggle];
}

function App({ desk, phone }) {
  useDesk(desk);
  useDesk(phone);
  const [theme, nextTheme] = useTheme();
  const [filter, setFilter] = useState({ text: "", queue: "", only: "all", sort: "started", down: false });
  const [whom, setWhom] = useState({ who: "all", sort: "agent", down: false });
  const [view, setView] = useState("calls");
  const [chosen, choose] = useState(null);
  const [person, choosePerson] = useState(null);
  const [notice, setNotice] = useState(null);
  const [help, setHelp] = useState(false);
  const [team, toggleTeam] = useTeam();
  const choice = useChoice(desk, phone);
  const search = useRef(null);
  const act = useRef({});

  const mine = [...desk.sessions.values()].find((each) => each.phase !== "ended") ?? null;
  const own = !mine && [...desk.calls.values()].find((call) => call.agents.some((each) => [desk.me?.id, desk.me?.agent].includes(each.agent))); // taken over
  const rows = useMemo(
    () => arrange(desk, filter, team),
    [desk.seq, desk.status, desk.calls.size, desk.coaches.size, filter, team],
  );
  const staff = useMemo(
    () => people(desk, { ...whom, text: filter.text, queue: filter.queue }, team),
    [desk.seq, desk.status, desk.agents.size, desk.calls.size, filter.text, filter.queue, whom, team],
  );
  const list = view === "calls"
    ? { rows, id: (row) => row.call.id, chosen, choose }
    : { rows: staff.rows, id: (row) => row.agent.id, chosen: person, choose: choosePerson };
  const selected = list.rows.find((row) => list.id(row) === list.chosen) ?? null;

  const refused = (error) => setNotice({ bad: true, text: error.message });
  const ask = (op, body, session = mine) => {
    setNotice(null);
    return desk.ask(op, session ? { session: session.id } : {}, body).catch(refused);
  };
  const hindered = (why) => {
    if (why) setNotice({ bad: true, text: why });
    return !!why;
  };
  const start = (call, mode = "listen", agent) => {
    choose(call.id);
    if (agent) choosePerson(agent);
    if (hindered(mine ? BUSY : hindrance(desk, call, mode) || choice.why)) return;
    ask("start_session", { call: call.id, mode, device: choice.device, ...(agent && { agent }) }, null);
  };
  const follow = (agent, call) => {
    choosePerson(agent);
    if (hindered(mine ? BUSY : (call && hindrance(desk, call, "listen")) || choice.why)) return;
    ask("start_session", { agent, follow: "agent", device: choice.device }, null);
  };

  const can = {
    listen: !!desk.me?.permissions.includes("monitor_live_calls"),
    whisper: !!desk.me?.roles.includes("whisper"),
    barge: !!desk.me?.roles.includes("barge"),
  };

  useEffect(() => {
    const over = ({ detail }) => {
      const text = ending(detail.reason);
      setNotice({ bad: !GOOD_ENDS.has(detail.reason), text, again: detail.call });
      announce(text);
    };
    const noBeep = () => setNotice({ bad: true, text: "The beep could not be played: the agent was not told by a tone." });
    const asked = ({ detail }) => {
      const text = `${detail.name} asks for help. ${detail.note}`;
      announce(text);
      // Of one to whom we speak it is answered at once, and gone from the top of the page.
      if ([...desk.sessions.values()].some((each) => each.agent === detail.agent)) setNotice({ text });
    };
    const putBack = ({ detail }) => setNotice({ bad: true, text: `The queue does not allow this any more: ${MODES[detail.mode].name}.` });
    const notPressed = ({ detail }) => refused(detail);
    desk.addEventListener("ended", over);
    desk.addEventListener("beepless", noBeep);
    desk.addEventListener("refused", notPressed);
    desk.addEventListener("hand", asked);
    desk.addEventListener("putback", putBack);
    return () => {
      desk.removeEventListener("ended", over);
      desk.removeEventListener("beepless", noBeep);
      desk.removeEventListener("refused", notPressed);
      desk.removeEventListener("hand", asked);
      desk.removeEventListener("putback", putBack);
    };
  }, [desk]);

  useEffect(() => {
    if (mine) announce(`${MODES[mine.mode].doing}. ${heardBy(desk, mine)}. ${mine.phase === "attached" ? "" : stage(desk, mine)}`);
  }, [mine?.phase, mine?.mode, mine?.gate, mine?.held, desk.sure()]);

  act.current = { mine, own, list, selected, ask, start, follow, can, refused };

  useEffect(() => {
    const move = (step) => {
      const { list: { rows: all, id, choose: pick }, selected: row } = act.current;
      if (!all.length) return;
      const at = row ? all.indexOf(row) + step : step > 0 ? 0 : all.length - 1;
      pick(id(all[Math.min(Math.max(at, 0), all.length - 1)]));
    };
    const mode = (name) => {
      const { mine: session, selected: row } = act.current;
      if (session) act.current.ask("set_mode", { mode: name });
      else if (row?.call) act.current.start(row.call, name, row.agent?.id);
    };
    const down = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const { mine: session, can: may } = act.current;
      if (typing(event)) {
        if (event.key === "Escape") event.target.blur();
        return;
      }
      if (document.querySelector("dialog[open]")) return;
      if (event.key === " " && session?.talk === "push") {
        event.preventDefault();
        if (event.repeat) desk.repeated();
        else desk.press(session.id);
        return;
      }
      if (event.key === "Enter" && event.target.matches("button, a, summary")) return;
      const does = {
        ArrowDown: () => move(1),
        ArrowUp: () => move(-1),
        Enter: () => may.listen && mode("listen"),
        l: () => may.listen && mode("listen"),
        w: () => may.whisper && mode("whisper"),
        b: () => may.barge && mode("barge"),
        t: () => session && document.getElementById("take-over")?.click(),
        m: () => session && act.current.ask("set_muted", { muted: !session.muted }),
        p: () => session && act.current.ask("set_talk", { talk: session.talk === "push" ? "open" : "push" }),
        a: () => setView((now) => (now === "calls" ? "agents" : "calls")),
        f: () => {
          const row = act.current.selected;
          const agent = row?.agent?.id ?? row?.call.agents[0].agent;
          if (may.listen && agent) act.current.follow(agent, row.call);
        },
        x: () => session && act.current.ask("leave"),
        c: () => document.getElementById("cue")?.focus(),
        h: answerHand,
        r: () => {
          const { mine: session, own: ours, selected: row } = act.current;
          const call = session ? desk.calls.get(session.call) : row?.call ?? ours;
          if (may.listen) toggleRecording(desk, call).catch(act.current.refused);
        },
        "/": () => search.current?.focus(),
        "?": () => setHelp(true),
      }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (does && (!event.repeat || event.key.startsWith("Arrow"))) {
        event.preventDefault();
        does();
      }
    };
    const up = (event) => {
      if (event.key !== " ") return;
      if (desk.pressing) event.preventDefault(); // or the button that has the focus would be pressed with it
      desk.release();
    };
    addEventListener("keydown", down);
    addEventListener("keyup", up);
    return () => {
      removeEventListener("keydown", down);
      removeEventListener("keyup", up);
    };
  }, [desk]);

  if (!desk.me && desk.status !== "connecting" && desk.status !== "stale") {
    return html`<${Taken} phone=${phone} /><${SignIn} desk=${desk} what="dashboard" />`;
  }
  const denied = desk.me && !desk.me.permissions.includes("view_contact_center_dashboard");
  const queues = queuesOf(desk);
  const change = (part) => setFilter({ ...filter, ...part });
  const changeWhom = (part) => setWhom({ ...whom, ...part });

  return html`<div class="page" data-docked=${mine ? "" : undefined} data-stale=${desk.sure() ? undefined : ""}>
    <header class="bar">
      <h1>Live calls</h1>
      <div class="views" role="group" aria-label="View (A)">
        ${[["calls", "Calls", desk.calls.size], ["agents", "Agents", staff.count]].map(([name, text, count]) => html`<button type="button" key=${name}
          class="plain" aria-pressed=${view === name} title="${text} (A)" onClick=${() => setView(name)}>${text} <span class="faint">${count}</span></button>`)}
      </div>
      <${Status} desk=${desk} />
      <span class="grow"></span>
      ${["edit_coaching_policies", "view_audit_trail"].some((each) => desk.me?.permissions.includes(each)) && html`<a class="plain" href="/admin">Administration</a>`}
      ${desk.me?.permissions.includes("review_recordings") && html`<a class="plain" href="/review">Recordings</a>`}
      <button type="button" class="plain" title="Keys (?)" onClick=${() => setHelp(true)}>Keys</button>
      <button type="button" class="plain" onClick=${nextTheme}>Theme: ${theme}</button>
      <span class="who">${desk.me?.name ?? ""}</span>
      <button type="button" class="plain" onClick=${() => desk.signOut()}>Sign out</button>
    </header>
    <main>
      ${notice && html`<div class="notice" data-bad=${notice.bad || undefined} role=${notice.bad ? "alert" : "status"}>
        <p>${notice.text}</p>
        ${notice.bad && desk.calls.has(notice.again) && !mine && html`
          <button type="button" onClick=${() => start(desk.calls.get(notice.again))}>Try again</button>`}
        <button type="button" class="plain" aria-label="Dismiss" onClick=${() => setNotice(null)}><${Icon} name="leave" /></button>
      </div>`}
      <${Taps} desk=${desk} />
      <${Hands} desk=${desk} start=${start} ask=${ask} mine=${mine} can=${can} />
      ${!denied && html`<${Queues} desk=${desk} />`}
      <${Phone} choice=${choice} phone=${phone} mine=${mine} />
      <div class="tools" role="search">
        <label class="field grow"><span>Search</span>
          <input ref=${search} type="search" placeholder="Agent, caller, queue" value=${filter.text}
            onInput=${(event) => change({ text: event.currentTarget.value })} />
        </label>
        <label class="field"><span>Queue</span>
          <select value=${filter.queue} onChange=${(event) => change({ queue: event.currentTarget.value })}>
            <option value="">All queues</option>
            ${queues.map((queue) => html`<option key=${queue} value=${queue}>${queue}</option>`)}
          </select>
        </label>
        ${view === "agents" ? html`<label class="field" key="who"><span>Show</span>
          <select value=${whom.who} onChange=${(event) => changeWhom({ who: event.currentTarget.value })}>
            <option value="all">All agents</option>
            <option value="team">My team (★)</option>
            <option value="available">Available</option>
            <option value="call">On a call</option>
            <option value="break">On break</option>
          </select>
        </label>` : html`<label class="field" key="only"><span>Show</span>
          <select value=${filter.only} onChange=${(event) => change({ only: event.currentTarget.value })}>
            <option value="all">All calls</option>
            <option value="team">My team (★)</option>
            <option value="coached">Coached now</option>
            <option value="held">On hold</option>
          </select>
        </label>`}
        <${Sort} view=${view} filter=${view === "calls" ? filter : whom} change=${view === "calls" ? change : changeWhom} />
        <p class="count">${list.rows.length} of ${view === "calls" ? desk.calls.size : staff.count}</p>
      </div>
      ${own && html`<${Recorded} desk=${desk} call=${own} refused=${refused} text="Your call is recorded." />`}
      ${denied
        ? html`<p class="empty">This token does not permit to see the dashboard.</p>`
        : view === "agents" ? html`<${People} desk=${desk} rows=${staff.rows} filter=${whom} change=${changeWhom}
            chosen=${person} choose=${choosePerson} start=${start} follow=${follow} mine=${mine} can=${can} team=${team} toggleTeam=${toggleTeam} />`
        : html`<${Calls} desk=${desk} rows=${rows} filter=${filter} change=${change} chosen=${chosen} choose=${choose}
            start=${start} mine=${mine} can=${can} team=${team} toggleTeam=${toggleTeam} />`}
    </main>
    ${mine && html`<${Dock} desk=${desk} phone=${phone} session=${mine} ask=${ask} can=${can} refused=${refused} />`}
    ${help && html`<${Help} keys=${KEYS} close=${() => setHelp(false)} />`}
  </div>`;
}

const desk = new Desk(location.origin);
const phone = new Softphone(desk);
const token = takeToken();
if (token) desk.connect(token);
render(html`<${App} desk=${desk} phone=${phone} />`, document.getElementById("app"));
