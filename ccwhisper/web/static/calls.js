// The list of calls.
import { RecordedChip } from "./recorded.js";
import { Heading, Rows, sorted, useRows, wanted } from "./rows.js";
import { tapped } from "./taps.js";
import { Icon, Offer, duration, html, useClock } from "./ui.js";
import { BUSY, MODES, hindrance, party } from "./words.js";

/** The queues that there are, and those that calls and agents have. */
export function queuesOf(desk) {
  const found = new Set(desk.queues.keys());
  for (const call of desk.calls.values()) if (call.queue) found.add(call.queue);
  for (const agent of desk.agents.values()) for (const queue of agent.queues) found.add(queue);
  return [...found].sort();
}

const SORTS = {
  agent: (row) => row.agents.toLowerCase(),
  party: (row) => row.party.main.toLowerCase(),
  queue: (row) => row.call.queue ?? "",
  started: (row) => row.call.started_at,
  coaches: (row) => -row.coaches.length,
};

/** The rows to show: filtered, and sorted. */
export function arrange(desk, filter, team) {
  const coaches = new Map();
  for (const each of desk.coaches.values()) {
    if (each.call) coaches.set(each.call, [...(coaches.get(each.call) ?? []), each]);
  }
  const words = wanted(filter.text);
  const rows = [];
  for (const call of desk.calls.values()) {
    const row = {
      call,
      agents: call.agents.map((each) => each.name).join(", "),
      party: party(call),
      coaches: coaches.get(call.id) ?? [],
    };
    if (filter.queue && call.queue !== filter.queue) continue;
    if (filter.only === "coached" && !row.coaches.length) continue;
    if (filter.only === "held" && !call.held) continue;
    if (filter.only === "team" && !call.agents.some((each) => team.has(each.agent))) continue;
    const ids = call.agents.map((each) => each.agent).join(" ");
    const text = `${row.agents} ${ids} ${call.number} ${call.name} ${call.queue ?? ""}`.toLowerCase();
    if (words.every((word) => text.includes(word))) rows.push(row);
  }
  return sorted(rows, SORTS[filter.sort], filter.down, (row) => row.call.id);
}

function Coaches({ coaches, me }) {
  return coaches.map(
    (each) => html`<span key=${each.session} class="chip" data-mode=${each.mode} data-open=${each.gate !== "closed" || undefined}
      title="${each.name}: ${MODES[each.mode].doing.toLowerCase()}${each.muted ? ", muted" : ""}">
      <${Icon} name=${each.muted ? "muted" : each.mode} />${each.coach === me ? "You" : each.name}
      <span class="sr">${MODES[each.mode].doing}${each.muted ? ", muted" : ""}</span>
    </span>`,
  );
}

function Row({ desk, row, now, at, chosen, choose, start, mine, can, team, toggleTeam, me }) {
  const { call } = row;
  const here = mine?.call === call.id;
  const agent = call.agents[0];
  const starred = call.agents.some((each) => team.has(each.agent));
  return html`<div role="row" class="row" id="call-${call.id}" aria-rowindex=${at + 2} aria-selected=${chosen} data-mode=${here ? mine.mode : undefined}
      onClick=${() => choose(call.id)} onDblClick=${() => !mine && can.listen && start(call)}>
    <div role="gridcell" class="cell agent">
      <button type="button" class="plain star" aria-pressed=${starred} aria-label="${row.agents} in my team"
        onClick=${(event) => { event.stopPropagation(); toggleTeam(agent.agent); }}><${Icon} name="star" filled=${starred} /></button>
      <span class="clip">${row.agents}</span>
    </div>
    <div role="gridcell" class="cell party">
      <span class="way" title=${call.direction}><${Icon} name=${call.direction} /><span class="sr">${call.direction}</span></span>
      <span class="clip who"><bdi>${row.party.main}</bdi>${row.party.more && html` <bdi class="faint">${row.party.more}</bdi>`}</span>
    </div>
    <div role="gridcell" class="cell queue"><span class="clip faint" title=${call.queue}>${call.queue ?? "–"}</span></div>
    <div role="gridcell" class="cell started">
      <span class="time">${duration(now - call.started_at)}</span>
      ${call.held && html`<span class="chip" data-hold><${Icon} name="hold" />Hold</span>`}
      <${RecordedChip} recording=${call.recording} />
    </div>
    <div role="gridcell" class="cell coaches">
      ${call.taps.length > 0 && html`<span class="chip" data-hold title=${call.taps.map(tapped).join("; ")}><${Icon} name="listen" />Tapped</span>`}
      <${Coaches} coaches=${row.coaches} me=${me} /></div>
    <div role="gridcell" class="cell act">
      ${here
        ? html`<span class="doing" data-mode=${mine.mode}>${MODES[mine.mode].doing}</span>`
        : can.listen && html`<${Offer} why=${mine ? BUSY : hindrance(desk, call, "listen")} title="Listen (L)" aria-label="Listen to ${row.agents}"
            onClick=${(event) => { event.stopPropagation(); start(call); }}><${Icon} name="listen" />Listen<//>`}
    </div>
  </div>`;
}

export function Calls({ desk, rows, filter, change, chosen, choose, start, mine, can, team, toggleTeam }) {
  const now = useClock(desk);
  const index = rows.findIndex((row) => row.call.id === chosen);
  const sight = useRows(rows.length, index, chosen);
  const { first, last } = sight;
  const me = desk.me?.id;

  return html`<div class="grid" role="grid" aria-label="Live calls" aria-rowcount=${rows.length + 1} tabindex="0"
      aria-activedescendant=${index >= first && index < last ? `call-${chosen}` : undefined}>
    <div role="rowgroup"><div role="row" class="row head" aria-rowindex="1">
      <${Heading} name="agent" filter=${filter} change=${change}>Agent<//>
      <${Heading} name="party" filter=${filter} change=${change}>Caller<//>
      <${Heading} name="queue" filter=${filter} change=${change}>Queue<//>
      <${Heading} name="started" filter=${filter} change=${change}>Time<//>
      <${Heading} name="coaches" filter=${filter} change=${change}>Coaches<//>
      <div role="columnheader" class="cell act"><span class="sr">Action</span></div>
    </div></div>
    <${Rows} sight=${sight} count=${rows.length}
        empty=${desk.calls.size ? "No call matches." : desk.status === "live" ? "No calls at the moment." : ""}>
      ${rows.slice(first, last).map(
        (row, at) => html`<${Row} key=${row.call.id} desk=${desk} row=${row} now=${now} at=${first + at} chosen=${row.call.id === chosen}
          choose=${choose} start=${start} mine=${mine} can=${can} team=${team} toggleTeam=${toggleTeam} me=${me} />`,
      )}
    <//>
  </div>`;
}
