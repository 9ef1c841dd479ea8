// The audit trail: who did what to whom, or was refused it.
import { Pager, usePages } from "./pager.js";
import { Search } from "./search.js";
import { html, useEffect, useRef, useState } from "./ui.js";

const WORDS = ["actor", "agent", "call", "action", "text"];
const ACTIONS = ["start", "listen", "ask", "mode", "talk", "mute", "unmute", "press", "release", "take_over", "next", "leave", "end", "put_back",
  "beep_failed", "cue", "read_cue", "reply", "hand", "lower_hand", "policy", "tap", "tap_end", "export", "play",
  "export_recording", "delete_recording", "comment", "read"];
const NOTHING = { from: "", to: "", refused: "", ...Object.fromEntries(WORDS.map((name) => [name, ""])) };
const SHORT = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" });

const fields = ({ field, choice }) => html`
  ${field("text", "Anywhere", { type: "search", id: "audit-text" })}
  ${field("actor", "Who")}
  ${field("agent", "Agent")}
  ${field("call", "Call")}
  ${field("action", "Action", { list: "actions" })}
  <datalist id="actions">${ACTIONS.map((each) => html`<option key=${each} value=${each} />`)}</datalist>
  ${choice("refused", "Outcome", [["", "All"], ["false", "Done"], ["true", "Refused"]])}`;

/** What a policy was and is, of the keys that differ. */
function Change({ detail }) {
  let said;
  try {
    said = JSON.parse(detail);
  } catch {
    return html`<dd>${detail}</dd>`;
  }
  const { queue, before, after } = said;
  const keys = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])]
    .filter((key) => JSON.stringify(before?.[key]) !== JSON.stringify(after?.[key]));
  const shown = (value) => (value === undefined ? "not set here" : JSON.stringify(value));
  return html`<dd><strong>${queue}</strong>
    ${keys.length ? html`<ul class="changes">${keys.map((key) => html`<li key=${key}><code>${key}</code>
      <del>${shown(before?.[key])}</del> <span aria-hidden="true">→</span> <ins>${shown(after?.[key])}</ins></li>`)}</ul>` : html` <span class="faint">nothing changed</span>`}</dd>`;
}

function Detail({ row, close, search }) {
  const box = useRef(null);
  useEffect(() => box.current.showModal(), []);
  const link = (name) => (row[name]
    ? html`<dd>${row[name]} <button type="button" class="plain" onClick=${() => { box.current.close(); search(new URLSearchParams({ [name]: row[name] }).toString()); }}>All of this</button></dd>`
    : html`<dd class="faint">none</dd>`);
  const text = (value) => html`<dd class=${value ? undefined : "faint"}>${value || "none"}</dd>`;
  return html`<dialog ref=${box} class="help wide" aria-labelledby="row-title" onClose=${close}>
    <h2 id="row-title"><code>${row.action}</code>${row.refusal && html` <span class="tag" data-bad>refused: ${row.refusal}</span>`}</h2>
    <dl class="record">
      <div><dt>Service’s clock</dt><dd><time>${row.at}</time></dd></div>
      <div><dt>Switch’s clock</dt>${text(row.switch_at)}</div>
      <div><dt>Who</dt>${link("actor")}</div>
      <div><dt>Name</dt>${text(row.name)}</div>
      <div><dt>Permissions</dt>${text(row.permissions.join(", "))}</div>
      <div><dt>Roles</dt>${text(row.roles.join(", "))}</div>
      <div><dt>Agent</dt>${link("agent")}</div>
      <div><dt>Call</dt>${link("call")}</div>
      <div><dt>Session</dt>${text(row.session)}</div>
      <div><dt>Switch</dt>${text(row.node)}</div>
      <div><dt>Detail</dt>${row.action === "policy" && !row.refusal ? html`<${Change} detail=${row.detail} />` : text(row.detail)}</div>
      <div><dt>From where</dt>${text(row.origin || "by itself")}</div>
      ${row.times > 1 && html`<div><dt>How often</dt><dd>${row.times} times</dd></div>`}
      <div><dt>Key</dt><dd class="faint">${row.installation} ${row.epoch} ${row.seq}</dd></div>
    </dl>
    <button type="button" onClick=${() => box.current.close()}>Close</button>
  </dialog>`;
}

function brief(row) {
  if (row.action !== "policy" || row.refusal) return row.detail;
  try {
    return JSON.parse(row.detail).queue;
  } catch {
    return row.detail;
  }
}

function Rows({ rows, open }) {
  const place = useRef(null);
  const move = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const all = [...place.current.querySelectorAll("button")];
    const at = all.indexOf(document.activeElement);
    const next = all[at + step];
    if (at < 0 || !next) return;
    event.preventDefault();
    next.focus();
  };
  const cell = (row, name, title, content) => html`<td role="cell" class=${name} data-title=${title}>${content}</td>`;
  return html`<table class="rows-of" role="table" aria-label="Rows of the audit trail" ref=${place} onKeyDown=${move}>
    <thead role="rowgroup"><tr role="row">${["When", "Who", "Action", "Agent", "Detail", "Outcome"].map((each) => html`<th key=${each} role="columnheader" scope="col">${each}</th>`)}</tr></thead>
    <tbody role="rowgroup">${rows.map((row) => html`<tr role="row" key=${`${row.epoch} ${row.seq}`} data-refused=${row.refusal ? "" : undefined}>
      ${cell(row, "when", "When", html`<button type="button" class="plain" aria-haspopup="dialog" onClick=${() => open(row)}><time datetime=${row.at}>${SHORT.format(new Date(row.at))}</time></button>`)}
      ${cell(row, "who", "Who", row.name === row.actor ? row.actor : html`${row.name} <span class="faint">${row.actor}</span>`)}
      ${cell(row, "action", "Action", html`<code>${row.action}</code>`)}
      ${cell(row, "agent", "Agent", row.agent ?? "")}
      ${cell(row, "what", "Detail", brief(row))}
      ${cell(row, "outcome", "Outcome", row.refusal ? html`<span class="tag" data-bad>${row.refusal}${row.times > 1 ? ` × ${row.times}` : ""}</span>` : "")}
    </tr>`)}</tbody>
  </table>`;
}

export function Audit({ api, here }) {
  const query = here.view === "audit" ? here.query : "";
  const list = usePages(api, { path: "/audit", name: "rows", query, hash: "#audit" });
  const { found, rows, busy, setBusy, setProblem, search } = list;
  const [row, setRow] = useState(null);

  useEffect(() => {
    const key = (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.("input, textarea, select")) return;
      if (document.querySelector("dialog[open]")) return;
      event.preventDefault();
      document.getElementById("audit-text")?.focus();
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, []);

  const save = (format) => {
    const wanted = new URLSearchParams(query);
    wanted.set("format", format);
    setProblem(null);
    setBusy(true);
    api.download(`/audit/export?${wanted}`).catch((error) => setProblem(error.message)).finally(() => setBusy(false));
  };
  return html`<main class="audit" aria-busy=${busy}>
    <${Search} nothing=${NOTHING} fields=${fields} query=${query} search=${search} />
    <${Pager} list=${list}>
      <span class="gap"></span>
      <button type="button" disabled=${busy} onClick=${() => save("csv")}>Export CSV</button>
      <button type="button" disabled=${busy} onClick=${() => save("jsonl")}>Export JSON Lines</button>
    <//>
    ${!!rows.length && html`<${Rows} rows=${rows} open=${setRow} />`}
    ${found && !rows.length && html`<p class="empty">There are no such rows.</p>`}
    ${row && html`<${Detail} row=${row} close=${() => setRow(null)} search=${search} />`}
  </main>`;
}
