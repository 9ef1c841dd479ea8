// One recording: its tracks under each other on one time line, what happened when, and what reviewers say of it.
import { Comments } from "./comments.js";
import { Help } from "./help.js";
import { Player } from "./player.js";
import { Marks, moment, people } from "./recordings.js";
import { announce, duration, html, Icon, useDesk, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./ui.js";
import { parsed, useScheme, Wave } from "./waves.js";

const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];
const CLOSEST = 5; // seconds in sight
const REPLIES = { got_it: "Got it", repeat: "Please repeat", need_you: "I need you" };
const CHANNELS = { caller: "caller’s side", agent: "agent’s microphone" };
const SIGNS = { start: "call", mode: "whisper", beep: "ringing", cue: "follow", help: "hand", hold: "hold", unhold: "call", pause: "muted",
  resume: "available", party: "take", coach: "listen", left: "leave", taken_over: "take" };

/** The first line of a ruler: round times, not too close to each other. */
function ticks(sight) {
  const steps = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
  const step = steps.find((each) => (sight.to - sight.from) / each <= 12) ?? 7200;
  const found = [];
  for (let at = Math.ceil(sight.from / step) * step; at <= sight.to; at += step) found.push(at);
  return found;
}

/** What happened when, chapters and cues in one order. */
function moments(content) {
  const cues = content.cues.map((cue) => ({ at: cue.at, kind: "cue", text: `${cue.name}: ${cue.text}`, reply: REPLIES[cue.reply] }));
  return [...content.chapters.filter((each) => each.kind !== "cue"), ...cues].sort((one, other) => one.at - other.at);
}

/** Draws again while it plays, and whenever the player says something. */
function usePlayer(player) {
  useDesk(player);
  const [, draw] = useState(0);
  useEffect(() => {
    let frame = 0;
    const next = () => {
      frame = requestAnimationFrame(next);
      if (player.playing) draw((count) => count + 1);
    };
    next();
    return () => cancelAnimationFrame(frame);
  }, [player]);
}

/** The part of the recording that is in sight. */
function useSight(player) {
  const [sight, set] = useState({ from: 0, to: player.duration });
  const show = (from, span) => {
    const wide = Math.min(player.duration, Math.max(Math.min(CLOSEST, player.duration), span));
    const begin = Math.min(Math.max(0, from), player.duration - wide);
    set({ from: begin, to: begin + wide });
  };
  const zoom = (factor) => {
    const span = (sight.to - sight.from) * factor;
    show(player.time - span / 2, span);
  };
  const span = sight.to - sight.from;
  const behind = player.time < sight.from || player.time > sight.to;
  useEffect(() => { // it follows what is heard
    if (behind) show(player.time - span * 0.1, span);
  }, [behind]);
  return [sight, zoom];
}

function Lane({ player, lane, number, peaks, sight, scheme, spans }) {
  const heard = player.heard(lane);
  const place = (at) => `${(100 * (at - sight.from)) / (sight.to - sight.from)}%`;
  const level = player.playing ? player.level(lane.key) : 0;
  const shaded = useMemo(() => spans.map((span) => html`<span key=${span.start} class="span" style=${{ left: place(span.start), width: `calc(${place(span.end)} - ${place(span.start)})` }}></span>`), [spans, sight]);
  return html`<div class="lane" role="group" aria-label=${lane.name} data-kind=${lane.kind} data-heard=${heard || undefined}>
    <div class="head">
      <p class="name"><span class="clip"><bdi>${lane.name}</bdi></span><span class="faint">${{ caller: "caller", agent: "agent", coach: "coach" }[lane.kind]}</span></p>
      <div class="set">
        <button type="button" aria-pressed=${lane.solo} title=${`Hear ${lane.name} alone (${number})`} aria-label=${`Solo ${lane.name}`} onClick=${() => player.set(lane.key, { solo: !lane.solo })}>Solo</button>
        <button type="button" aria-pressed=${lane.muted} title=${`Do not hear ${lane.name} (Shift ${number})`} aria-label=${`Mute ${lane.name}`} onClick=${() => player.set(lane.key, { muted: !lane.muted })}>Mute</button>
        <input type="range" min="0" max="1.5" step="0.05" value=${lane.volume} aria-label=${`Volume of ${lane.name}`} onInput=${(event) => player.set(lane.key, { volume: Number(event.currentTarget.value) })} />
        <span class="level" aria-hidden="true"><i style=${{ transform: `scaleX(${Math.min(1, Math.sqrt(level))})` }}></i></span>
      </div>
    </div>
    <div class="track" onPointerDown=${(event) => {
      const box = event.currentTarget.getBoundingClientRect();
      player.seek(sight.from + ((event.clientX - box.left) / box.width) * (sight.to - sight.from));
    }}>
      ${shaded}
      <${Wave} values=${peaks?.channels.get(lane.key)} interval=${peaks?.interval} sight=${sight} scheme=${scheme} kind=${lane.kind} faded=${!heard} />
    </div>
  </div>`;
}

/** Marks above the waveforms: those in sight, at their moments. */
function Line({ name, sight, items, jump }) {
  const seen = items.filter((each) => each.at >= sight.from && each.at <= sight.to);
  return html`<div class="line-of" data-name=${name}><p class="head faint">${name}</p><div class="track">
    ${seen.map((each, place) => {
      const left = (100 * (each.at - sight.from)) / (sight.to - sight.from);
      const room = (seen[place + 1] ? (100 * (seen[place + 1].at - sight.from)) / (sight.to - sight.from) : 100) - left;
      return html`<button type="button" key=${`${each.at} ${place}`} tabindex="-1" class="mark" data-kind=${each.kind} title=${`${duration(each.at)} ${each.text}`}
        aria-label=${`${duration(each.at)} ${each.text}`} style=${{ left: `${left}%`, maxWidth: `${Math.max(room, 1.5)}%` }} onClick=${() => jump(each.at)}>
        <span class="clip">${each.text}</span></button>`;
    })}
  </div></div>`;
}

function Transport({ player, sight, zoom, help }) {
  const now = player.time;
  return html`<div class="transport" role="group" aria-label="Playing">
    <button type="button" aria-label="10 seconds back" title="10 seconds back (J)" onClick=${() => player.seek(player.time - 10)}>−10</button>
    <button type="button" class="main play" aria-label=${player.playing ? "Pause" : "Play"} title="Space" onClick=${() => player.toggle()}>${player.playing ? "Pause" : "Play"} <kbd>Space</kbd></button>
    <button type="button" aria-label="10 seconds on" title="10 seconds on (L)" onClick=${() => player.seek(player.time + 10)}>+10</button>
    <p class="time clock" aria-label=${`At ${duration(now)} of ${duration(player.duration)}`}>${duration(now)} <span class="faint">/ ${duration(player.duration)}</span></p>
    <p class="faint" role="status">${player.waiting ? "Loading …" : ""}</p>
    <span class="grow"></span>
    <label class="field inline"><span>Speed</span><select value=${player.speed} onChange=${(event) => player.setSpeed(Number(event.currentTarget.value))}>
      ${SPEEDS.map((each) => html`<option key=${each} value=${each}>${each} ×</option>`)}</select></label>
    <button type="button" aria-pressed=${player.muted} title="Mute everything (M)" onClick=${() => player.mute(!player.muted)}>Mute all</button>
    <button type="button" aria-label="Zoom out" title="Zoom out (−)" disabled=${sight.to - sight.from >= player.duration} onClick=${() => zoom(2)}>−</button>
    <button type="button" aria-label="Zoom in" title="Zoom in (+)" disabled=${sight.to - sight.from <= CLOSEST} onClick=${() => zoom(0.5)}>+</button>
    <button type="button" class="plain" title="Keys (?)" onClick=${help}>Keys</button>
  </div>`;
}

/** Whether a coach is in the call, or came back through a headset: of each coach and each side. */
function Bleed({ content, jump }) {
  const { bleed } = content;
  const names = new Map(content.coaches.map((each) => [each.session, each.name || each.coach]));
  const agentAt = (at) => content.agents.filter((each) => each.start <= at).at(-1) ?? content.agents[0];
  if (!bleed) return html`<section class="box bleed" aria-label="Echoes"><h2>Echoes of coaches</h2><p class="faint">Not measured.</p></section>`;
  const flagged = new Map();
  for (const trace of bleed.traces) {
    if (!trace.flagged || trace.at === null) continue;
    const agent = agentAt(trace.at);
    const name = agent ? agent.name || agent.agent : "unknown";
    flagged.set(name, (flagged.get(name) ?? 0) + 1);
  }
  const found = (trace) => {
    if (trace.kind === "none") return "none";
    return html`<span class="tag" data-bad=${trace.kind === "routing" || undefined} data-changed=${(trace.kind === "acoustic" && trace.flagged) || undefined}>${trace.kind === "routing" ? "in the call" : "echo"}</span>`;
  };
  return html`<section class="box bleed" aria-label="Echoes"><h2>Echoes of coaches</h2>
    <p class="faint">Flagged from ${bleed.threshold.toFixed(0)} dB of the coach’s own voice on. “In the call” is a fault of the routing; an echo comes out of a loud headset.</p>
    ${!bleed.traces.length && html`<p>No coach could be heard.</p>`}
    ${!!bleed.traces.length && html`<table><thead><tr>${["Coach", "In the", "Found", "Level", "Delay", "Moment"].map((each) => html`<th key=${each} scope="col">${each}</th>`)}</tr></thead>
      <tbody>${bleed.traces.map((trace) => html`<tr key=${`${trace.session} ${trace.channel} ${trace.at} ${trace.kind}`} data-flagged=${trace.flagged || undefined}>
        <td><bdi>${names.get(trace.session) ?? trace.session}</bdi></td><td>${CHANNELS[trace.channel]}</td><td>${found(trace)}</td>
        <td class="time">${trace.level === null ? "" : `${trace.level.toFixed(0)} dB`}</td><td class="time">${trace.delay === null ? "" : `${trace.delay.toFixed(0)} ms`}</td>
        <td>${trace.at === null ? "" : html`<button type="button" class="plain at time" onClick=${() => jump(trace.at)}>${duration(trace.at)}</button>`}</td></tr>`)}</tbody></table>`}
    ${!!flagged.size && html`<p>${[...flagged].map(([name, count]) => `${name}: ${count} flagged`).join(" · ")}</p>`}
  </section>`;
}

const KEYS = [
  ["Space or K", "Play, pause"],
  ["← →", "5 seconds back, on"],
  ["J L", "10 seconds back, on"],
  [", .", "The moment before, the next one"],
  ["1 … 9", "Hear one track alone; with Shift, mute it"],
  ["M", "Mute everything"],
  ["< >", "Slower, faster"],
  ["+ −", "Zoom in, out"],
  ["C", "Comment at this moment"],
  ["Y", "Copy a link to this moment"],
  ["Home", "To the beginning"],
  ["Esc", "Out of a field, then back to the list"],
  ["?", "These keys"],
];

function Sure({ close, remove }) {
  const box = useRef(null);
  useEffect(() => box.current.showModal(), []);
  return html`<dialog ref=${box} class="help" aria-labelledby="sure-title" onClose=${close}>
    <h2 id="sure-title">Delete this recording?</h2>
    <p>Its audio, its comments, and whose call it was are gone for good. The audit trail keeps that it was, and who deleted it.</p>
    <div class="buttons"><button type="button" onClick=${() => box.current.close()}>Keep it</button>
      <button type="button" data-bad onClick=${() => { box.current.close(); remove(); }}>Delete</button></div>
  </dialog>`;
}

/** Keys of the page, with what they do now. */
function useKeys(does) {
  const now = useRef(does);
  now.current = does;
  useLayoutEffect(() => { // whoever sees the page can use its keys
    const down = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
      const field = event.target.matches?.("textarea, select, input:not([type=range])");
      if (field && event.key === "Escape") event.target.blur();
      if (field || (event.key === " " && event.target.matches?.("button, summary"))) return;
      if (event.target.matches?.("input[type=range]") && event.key.startsWith("Arrow")) return;
      const digit = /^Digit([1-9])$/.exec(event.code)?.[1];
      const act = digit ? () => now.current.lane(Number(digit), event.shiftKey) : now.current[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!act) return;
      event.preventDefault();
      act();
    };
    addEventListener("keydown", down);
    return () => removeEventListener("keydown", down);
  }, []);
}

function Sound({ api, detail, at, back, theme, change, say }) {
  const { recording, content } = detail;
  const player = useMemo(() => {
    const made = new Player(api, recording.id, content);
    if (at !== null) made.seek(at);
    return made;
  }, [recording.id]);
  const [peaks, setPeaks] = useState(null);
  const [help, setHelp] = useState(false);
  const scheme = useScheme(theme);
  usePlayer(player);
  const [sight, zoom] = useSight(player);
  const all = useMemo(() => moments(content), [content]);
  useEffect(() => {
    const left = () => player.leave();
    addEventListener("pagehide", left);
    return () => {
      removeEventListener("pagehide", left);
      player.close();
    };
  }, [player]);
  useLayoutEffect(() => { // before anybody can use a key at the old moment
    if (at !== null) player.seek(at);
  }, [at]);
  useEffect(() => {
    if (!content.waveforms) return;
    api.bytes(`/recordings/${encodeURIComponent(recording.id)}/peaks`).then((buffer) => setPeaks(parsed(buffer)), (error) => say(error.message, true));
  }, [recording.id]);

  const jump = (seconds) => player.seek(seconds);
  const step = (way) => {
    const times = all.map((each) => each.at);
    const next = way > 0 ? times.find((each) => each > player.time + 0.05) : times.filter((each) => each < player.time - 1).at(-1);
    if (next !== undefined) jump(next);
  };
  const speed = (way) => player.setSpeed(SPEEDS[Math.min(Math.max(SPEEDS.indexOf(player.speed) + way, 0), SPEEDS.length - 1)]);
  const copy = () => {
    const link = `${location.origin}${location.pathname}#${encodeURIComponent(recording.id)}&t=${player.time.toFixed(1)}`;
    navigator.clipboard.writeText(link).then(() => say(`A link to ${duration(player.time)} is copied.`), () => say(link));
  };
  useKeys({
    " ": () => player.toggle(),
    k: () => player.toggle(),
    ArrowLeft: () => jump(player.time - 5),
    ArrowRight: () => jump(player.time + 5),
    j: () => jump(player.time - 10),
    l: () => jump(player.time + 10),
    Home: () => jump(0),
    ",": () => step(-1),
    ".": () => step(1),
    "<": () => speed(-1),
    ">": () => speed(1),
    "+": () => zoom(0.5),
    "=": () => zoom(0.5),
    "-": () => zoom(2),
    m: () => player.mute(!player.muted),
    c: () => document.getElementById("comment")?.focus(),
    y: copy,
    "?": () => setHelp(true),
    Escape: () => { location.hash = back; },
    lane: (number, shift) => {
      const lane = player.lanes[number - 1];
      if (lane) player.set(lane.key, shift ? { muted: !lane.muted } : { solo: !lane.solo });
    },
  });

  const spans = useMemo(() => new Map(player.lanes.map((lane) => [lane.key,
    lane.kind === "coach" ? content.coaches.filter((each) => each.session === lane.session).flatMap((each) => each.spans) : []])), [content]);
  const flags = (content.bleed?.traces ?? []).filter((each) => each.flagged && each.at !== null)
    .map((each) => ({ at: each.at, kind: each.kind, text: each.kind === "routing" ? "Coach in the call" : `Echo ${each.level?.toFixed(0) ?? ""} dB` }));
  // What does not move is drawn once: a long call has thousands of moments, and each frame draws the rest.
  const lines = useMemo(() => html`
      <div class="line-of ruler" aria-hidden="true"><p class="head"></p><div class="track">${ticks(sight).map((each) => html`<span key=${each} class="tick time" style=${{ left: `${(100 * (each - sight.from)) / (sight.to - sight.from)}%` }}>${duration(each)}</span>`)}</div></div>
      <${Line} name="Moments" sight=${sight} items=${all.filter((each) => each.kind !== "cue")} jump=${jump} />
      ${!!content.cues.length && html`<${Line} name="Cues" sight=${sight} items=${all.filter((each) => each.kind === "cue")} jump=${jump} />`}
      ${!!flags.length && html`<${Line} name="Echoes" sight=${sight} items=${flags} jump=${jump} />`}
      ${!!detail.comments.length && html`<${Line} name="Comments" sight=${sight} items=${detail.comments.map((each) => ({ at: each.at, kind: "comment", text: each.text }))} jump=${jump} />`}`, [content, detail.comments, sight]);
  const happened = useMemo(() => all.map((each, place) => html`<li key=${place}><button type="button" class="plain" onClick=${() => jump(each.at)}><span class="time">${duration(each.at)}</span><${Icon} name=${SIGNS[each.kind] ?? "unknown"} /><span class="text">${each.text}${each.reply && html` <span class="faint">(${each.reply})</span>`}</span></button></li>`), [all]);
  const silent = [...new Set(content.coaches.filter((each) => each.track === null).map((each) => each.name || each.coach))];
  const now = ((player.time - sight.from) / (sight.to - sight.from)) * 100;
  const file = (coaches) => `/api/v1/recordings/${encodeURIComponent(recording.id)}/file?coaches=${coaches}`;
  const download = async (coaches) => {
    try {
      await player.ticket();
      const link = document.createElement("a");
      link.href = file(coaches);
      link.download = "";
      link.click();
    } catch (error) {
      say(error.message, true);
    }
  };
  return html`
    ${player.problem && html`<div class="notice" data-bad role="alert"><p>${player.problem}</p><button type="button" onClick=${() => player.play()}>Try again</button></div>`}
    ${content.problems.map((each, place) => html`<div class="notice" key=${place}><p>${each.text}</p></div>`)}
    <${Transport} player=${player} sight=${sight} zoom=${zoom} help=${() => setHelp(true)} />
    <section class="stack" aria-label="Tracks">
      ${lines}
      ${player.lanes.map((lane, place) => html`<${Lane} key=${lane.key} player=${player} lane=${lane} number=${place + 1} peaks=${peaks} sight=${sight} scheme=${scheme} spans=${spans.get(lane.key)} />`)}
      <div class="over" aria-hidden="true"><div class="track">${now >= 0 && now <= 100 && html`<span class="now" style=${{ left: `${now}%` }}></span>`}</div></div>
    </section>
    ${!!silent.length && html`<p class="explains">Whispers of <bdi>${silent.join(", ")}</bdi> were not recorded.</p>`}
    <div class="boxes">
      <section class="box moments" aria-label="What happened"><h2>What happened</h2>
        <ol>${happened}</ol></section>
      <${Comments} comments=${detail.comments} player=${player} change=${change} />
      <${Bleed} content=${content} jump=${jump} />
      <section class="box" aria-label="File"><h2>File</h2>
        <p class="faint">${(content.size / 1e6).toFixed(1)} MB${detail.kept_until ? `, kept until ${moment(detail.kept_until)}` : ""}</p>
        <div class="buttons"><button type="button" onClick=${copy}>Copy link to ${duration(player.time)}</button>
          <button type="button" onClick=${() => download("yes")}>Download</button>
          ${content.tracks.length > 1 && html`<button type="button" onClick=${() => download("no")}>Download without coaches</button>`}</div></section>
    </div>
    ${help && html`<${Help} keys=${KEYS} close=${() => setHelp(false)} />`}`;
}

const REASONS = {
  recording: "The call is still going on. It can be heard a while after its end.",
  waiting: "The call is over; the recording waits to be made.",
  working: "The recording is being made.",
  failed: "The recording could not be made.",
  deleted: "The recording has been deleted.",
};

export function Recording({ api, id, at, back, theme }) {
  const [detail, setDetail] = useState(null);
  const [problem, setProblem] = useState(null);
  const [notice, setNotice] = useState(null);
  const [sure, ask] = useState(false);
  const address = `/recordings/${encodeURIComponent(id)}`;
  const load = () => api.ask("GET", address).then((answer) => { setDetail(answer); setProblem(null); }, (error) => setProblem(error.message));
  const unfinished = detail && !detail.content && ["recording", "waiting", "working"].includes(detail.recording.state);
  useEffect(() => {
    setDetail(null);
    load();
  }, [id]);
  useEffect(() => {
    if (!unfinished) return undefined;
    const timer = setInterval(load, 5000);
    return () => clearInterval(timer);
  }, [unfinished, id]);
  const say = (text, bad = false) => {
    setNotice({ text, bad });
    announce(text);
  };
  const change = (method, path, body) => api.ask(method, `${address}/comments${path}`, body).then(load).then(() => true, (error) => { say(error.message, true); return false; });
  const remove = () => api.ask("DELETE", address).then((answer) => { setDetail(answer); say("The recording is deleted."); }, (error) => say(error.message, true));
  const retry = () => api.ask("POST", `${address}/retry`).then(() => { say("It is tried again."); load(); }, (error) => say(error.message, true));
  if (!detail) return html`<main>${problem ? html`<div class="notice" data-bad role="alert"><p>${problem}</p><a href="#">To the list</a></div>` : html`<p class="empty">Loading …</p>`}</main>`;
  const { recording, content } = detail;
  return html`<main class="recording">
    <header class="title">
      <div class="grow"><h2><bdi>${people(recording.agents) || "Unknown agent"}</bdi> <span class="faint">and</span> <bdi class="few">${recording.name || recording.number || "unknown"}</bdi></h2>
        <p class="faint">${moment(recording.started_at)} · <bdi>${recording.queue ?? "no queue"}</bdi>${recording.coaches.length ? html` · coached by <bdi>${people(recording.coaches)}</bdi>` : ""} <${Marks} recording=${{ ...recording, comments: 0 }} /></p></div>
      ${detail.deletable && html`<button type="button" data-bad onClick=${() => ask(true)}>Delete …</button>`}
    </header>
    ${notice && html`<div class="notice" data-bad=${notice.bad || undefined} role=${notice.bad ? "alert" : "status"}><p>${notice.text}</p>
      <button type="button" class="plain" aria-label="Dismiss" onClick=${() => setNotice(null)}><${Icon} name="leave" /></button></div>`}
    ${content && recording.state !== "deleted"
      ? html`<${Sound} key=${id} api=${api} detail=${detail} at=${at} back=${back} theme=${theme} change=${change} say=${say} />`
      : html`<div class="empty"><p>${REASONS[recording.state]}</p>${recording.problem && html`<p><strong>${recording.problem.text}</strong></p>`}
        ${recording.state === "failed" && html`<p><button type="button" onClick=${retry}>Try again now</button></p>`}</div>`}
    ${sure && html`<${Sure} close=${() => ask(false)} remove=${remove} />`}
  </main>`;
}
