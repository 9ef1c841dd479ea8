// The list of recordings, and how often a coach's voice came back through which headset.
import { Pager, usePages } from "./pager.js";
import { Search } from "./search.js";
import { duration, html, Icon, useEffect, useState } from "./ui.js";
import { MODES } from "./words.js";

const WORDS = ["text", "agent", "coach", "queue"];
const NOTHING = { from: "", to: "", mode: "", state: "", flagged: "", ...Object.fromEntries(WORDS.map((name) => [name, ""])) };
const WHEN = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" });

const STATES = {
  recording: "Being recorded",
  waiting: "Waits to be made",
  working: "Being made",
  ready: "Ready",
  failed: "Failed",
  deleted: "Deleted",
};

export const moment = (seconds) => WHEN.format(new Date(seconds * 1000));
export const people = (them) => them.map((each) => each.name || each.id).join(", ");

const fields = ({ field, choice }) => html`
  ${field("text", "Anywhere", { type: "search", id: "recording-text" })}
  ${field("agent", "Agent’s id")}
  ${field("coach", "Coach’s id")}
  ${field("queue", "Queue")}
  ${choice("mode", "Coached by", [["", "Anything"], ...Object.entries(MODES).map(([name, { name: text }]) => [name, text])])}
  ${choice("flagged", "Echo of a coach", [["", "All"], ["true", "Flagged"], ["false", "Not flagged"]])}
  ${choice("state", "State", [["", "All but deleted"], ...Object.entries(STATES)])}`;

/** What is to be known of a recording before it is opened. */
export function Marks({ recording }) {
  return html`${recording.state !== "ready" && html`<span class="tag" data-bad=${recording.state === "failed" || undefined}>${STATES[recording.state]}</span> `}
    ${recording.routing && html`<span class="tag" data-bad>Coach in the call</span> `}
    ${recording.acoustic && html`<span class="tag" data-changed>Echo</span> `}
    ${!!recording.comments && html`<span class="tag">${recording.comments} ${recording.comments === 1 ? "comment" : "comments"}</span>`}`;
}

function Rows({ rows }) {
  const cell = (name, title, content) => html`<td role="cell" class=${name} data-title=${title}>${content}</td>`;
  return html`<table class="rows-of recordings" role="table" aria-label="Recordings">
    <thead role="rowgroup"><tr role="row">${["When", "Agent", "Caller", "Queue", "Length", "Coached by", "To know"].map((each) => html`<th key=${each} role="columnheader" scope="col">${each}</th>`)}</tr></thead>
    <tbody role="rowgroup">${rows.map((row) => html`<tr role="row" key=${row.id} data-state=${row.state}>
      ${cell("when", "When", html`<a href=${`#${encodeURIComponent(row.id)}`}><time datetime=${new Date(row.started_at * 1000).toISOString()}>${moment(row.started_at)}</time></a>`)}
      ${cell("agent", "Agent", html`<bdi>${people(row.agents)}</bdi>`)}
      ${cell("party", "Caller", html`<bdi class="few">${row.name || row.number}</bdi>${row.name && row.number && html` <bdi class="faint">${row.number}</bdi>`}`)}
      ${cell("queue", "Queue", row.queue !== null ? html`<bdi class="clip" title=${row.queue}>${row.queue}</bdi>` : html`<span class="faint">none</span>`)}
      ${cell("length", "Length", row.duration === null ? "" : html`<span class="time">${duration(row.duration)}</span>`)}
      ${cell("coaches", "Coached by", html`<bdi>${people(row.coaches)}</bdi> ${row.modes.map((mode) => html`<span key=${mode} class="chip" data-mode=${mode}><${Icon} name=${mode} />${MODES[mode]?.name ?? mode}</span> `)}`)}
      ${cell("marks", "To know", html`<${Marks} recording=${row} />${row.problem && html`<span class="faint"> ${row.problem.text}</span>`}`)}
    </tr>`)}</tbody>
  </table>`;
}

export function Recordings({ api, query }) {
  const list = usePages(api, { path: "/recordings", name: "recordings", query, hash: "#" });
  const { found, rows, busy, search } = list;
  return html`<main class="audit" aria-busy=${busy}>
    <${Search} nothing=${NOTHING} fields=${fields} query=${query} search=${search} />
    <${Pager} list=${list} />
    ${!!rows.length && html`<${Rows} rows=${rows} />`}
    ${found && !rows.length && html`<p class="empty">There are no such recordings.</p>`}
  </main>`;
}

const SPANS = { 7: "Last 7 days", 30: "Last 30 days", 365: "Last year", 0: "Ever" };

/** By agent and headset: on how many recordings a coach's voice came back. */
export function Echoes({ api }) {
  const [days, setDays] = useState(30);
  const [counts, setCounts] = useState(null);
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    const stop = new AbortController();
    const since = Number(days) ? `?since=${encodeURIComponent(new Date(Date.now() - days * 86400000).toISOString())}` : "";
    api.ask("GET", `/recordings/bleed${since}`, undefined, stop.signal).then(
      (answer) => { setCounts(answer.counts); setProblem(null); },
      (error) => error.name !== "AbortError" && setProblem(error.message),
    );
    return () => stop.abort();
  }, [days]);
  return html`<main class="echoes">
    <div class="tools"><label class="field"><span>Calls of</span><select value=${days} onChange=${(event) => setDays(event.currentTarget.value)}>
      ${Object.entries(SPANS).map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}</select></label></div>
    <p class="explains">A loud headset lets the coach’s voice into the agent’s microphone, and no routing can stop that. Here is on how many recordings of each agent it was found.</p>
    ${problem && html`<div class="notice" data-bad role="alert"><p>${problem}</p></div>`}
    ${counts && !counts.length && html`<p class="empty">Nothing was measured in this time.</p>`}
    ${!!counts?.length && html`<table class="rows-of counts" role="table" aria-label="Echoes by agent and headset">
      <thead role="rowgroup"><tr role="row">${["Agent", "Headset", "Measured", "With an echo", "Loudest", "Coach in the call"].map((each) => html`<th key=${each} role="columnheader" scope="col">${each}</th>`)}</tr></thead>
      <tbody role="rowgroup">${counts.map((each) => html`<tr role="row" key=${`${each.agent} ${each.headset}`}>
        <td role="cell" data-title="Agent"><a href=${`#?${new URLSearchParams({ agent: each.agent, flagged: "true" })}`}><bdi>${each.name || each.agent}</bdi></a></td>
        <td role="cell" data-title="Headset">${each.headset ?? html`<span class="faint">not named</span>`}</td>
        <td role="cell" data-title="Measured">${each.measured}</td>
        <td role="cell" data-title="With an echo">${each.acoustic ? html`<span class="tag" data-changed>${each.acoustic}</span>` : 0} <span class="faint">${Math.round((100 * each.acoustic) / each.measured)} %</span></td>
        <td role="cell" data-title="Loudest">${each.worst === null ? html`<span class="faint">none</span>` : `${each.worst.toFixed(0)} dB`}</td>
        <td role="cell" data-title="Coach in the call">${each.routing ? html`<span class="tag" data-bad>${each.routing}</span>` : 0}</td>
      </tr>`)}</tbody>
    </table>`}
  </main>`;
}
