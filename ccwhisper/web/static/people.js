// The list of agents: how they are, since when, and their calls.
import { Heading, Rows, sorted, useRows, wanted } from "./rows.js";
import { Icon, Offer, duration, html, useClock } from "./ui.js";
import { BUSY, MODES, hindrance, party, presence } from "./words.js";

const ORDER = ["call", "ringing", "available", "break", "out", "unknown"];
const SORTS = {
  agent: (row) => row.agent.name.toLowerCase(),
  presence: (row) => ORDER.indexOf(row.presence.name),
  since: (row) => row.since ?? Infinity,
};

/** Of every agent on a call the call, the newest if there are two. */
function onCalls(desk) {
  const found = new Map();
  for (const call of desk.calls.values()) {
    for (const { agent } of call.agents) {
      if (!(found.get(agent)?.started_at > call.started_at)) found.set(agent, call);
    }
  }
  return found;
}

/** Of every queue, how many of its agents are what. By what they do: somebody on a call beside the queues is on a call. */
export function staffing(desk) {
  const calls = onCalls(desk);
  const found = new Map();
  for (const agent of desk.agents.values()) {
    const { name } = presence(agent, calls.get(agent.id));
    const counted = name === "ringing" ? "available" : name;
    for (const queue of agent.queues) {
      const counts = found.get(queue) ?? { available: 0, call: 0, break: 0 };
      if (counted in counts) counts[counted] += 1;
      found.set(queue, counts);
    }
  }
  return found;
}

/** The rows to show: filtered, and sorted. */
export function people(desk, filter, team) {
  const calls = onCalls(desk);
  const words = wanted(filter.text);
  const known = new Map(desk.agents);
  for (const call of desk.calls.values()) {
    for (const { agent: id, name } of call.agents) {
      if (!known.has(id)) known.set(id, { id, name, queues: [], status: null, state: null, since: null });
    }
  }
  const rows = [];
  for (const agent of known.values()) {
    const call = calls.get(agent.id);
    const row = { agent, call, presence: presence(agent, call), since: call ? call.started_at : agent.since };
    if (filter.queue && !agent.queues.includes(filter.queue) && call?.queue !== filter.queue) continue;
    if (filter.who === "team" && !team.has(agent.id)) continue;
    if (!["all", "team"].includes(filter.who) && row.presence.name !== filter.who) continue;
    const text = `${agent.name} ${agent.id} ${agent.queues.join(" ")} ${call ? `${call.number} ${call.name}` : ""}`.toLowerCase();
    if (words.every((word) => text.includes(word))) rows.push(row);
  }
  return { rows: sorted(rows, SORTS[filter.sort] ?? SORTS.agent, filter.down, (row) => row.agent.id), count: known.size };
}

function Row({ desk, row, now, at, chosen, choose, start, follow, mine, can, team, toggleTeam }) {
  const { agent, call } = row;
  const here = mine?.agent === agent.id;
  const why = mine ? BUSY : call ? hindrance(desk, call, "listen") : null;
  return html`<div role="row" class="row person" id="agent-${at}" aria-rowindex=${at + 2} aria-selected=${chosen}
      data-mode=${here ? mine.mode : undefined} onClick=${() => choose(agent.id)}>
    <div role="gridcell" class="cell agent">
      <button type="button" class="plain star" aria-pressed=${team.has(agent.id)} aria-label="${agent.name} in my team"
        onClick=${(event) => { event.stopPropagation(); toggleTeam(agent.id); }}><${Icon} name="star" filled=${team.has(agent.id)} /></button>
      <span class="clip">${agent.name}</span>
    </div>
    <div role="gridcell" class="cell presence" data-is=${row.presence.name}>
      <${Icon} name=${row.presence.name} /><span class="clip">${row.presence.text}${row.presence.more && html` <span class="faint">${row.presence.more}</span>`}</span>
    </div>
    <div role="gridcell" class="cell since"><span class="time">${row.since ? duration(now - row.since) : ""}</span></div>
    <div role="gridcell" class="cell queue"><span class="clip faint">${agent.queues.join(", ")}</span></div>
    <div role="gridcell" class="cell party">${call && html`
      <span class="way" title=${call.direction}><${Icon} name=${call.direction} /><span class="sr">${call.direction}</span></span>
      <span class="clip"><bdi>${party(call).main}</bdi></span>
      ${call.held && html`<span class="chip" data-hold><${Icon} name="hold" />Hold</span>`}`}
    </div>
    <div role="gridcell" class="cell act">
      ${here
        ? html`<span class="doing" data-mode=${mine.mode}>${mine.follow === "agent" ? "Following" : MODES[mine.mode].doing}</span>`
        : can.listen && html`
          ${call && html`<${Offer} why=${why} title="Listen (L)" aria-label="Listen to ${agent.name}"
            onClick=${(event) => { event.stopPropagation(); start(call, "listen", agent.id); }}><${Icon} name="listen" />Listen<//>`}
          <${Offer} class="follow" why=${why} title="Listen to this call and those that follow (F)" aria-label="Follow ${agent.name}"
            onClick=${(event) => { event.stopPropagation(); follow(agent.id, call); }}><${Icon} name="follow" /><span>Follow</span><//>`}
    </div>
  </div>`;
}

export function People({ desk, rows, filter, change, chosen, choose, start, follow, mine, can, team, toggleTeam }) {
  const now = useClock(desk);
  const index = rows.findIndex((row) => row.agent.id === chosen);
  const sight = useRows(rows.length, index, chosen);
  const { first, last } = sight;
  return html`<div class="grid people" role="grid" aria-label="Agents" aria-rowcount=${rows.length + 1} tabindex="0"
      aria-activedescendant=${index >= first && index < last ? `agent-${index}` : undefined}>
    <div role="rowgroup"><div role="row" class="row person head" aria-rowindex="1">
      <${Heading} name="agent" filter=${filter} change=${change}>Agent<//>
      <${Heading} name="presence" filter=${filter} change=${change}>Status<//>
      <${Heading} name="since" filter=${filter} change=${change}>Since<//>
      <div role="columnheader" class="cell queue">Queues</div>
      <div role="columnheader" class="cell party">Call</div>
      <div role="columnheader" class="cell act"><span class="sr">Action</span></div>
    </div></div>
    <${Rows} sight=${sight} count=${rows.length} empty=${desk.agents.size ? "No agent matches." : desk.status === "live" ? "No agents are known." : ""}>
      ${rows.slice(first, last).map(
        (row, at) => html`<${Row} key=${row.agent.id} desk=${desk} row=${row} now=${now} at=${first + at} chosen=${row.agent.id === chosen}
          choose=${choose} start=${start} follow=${follow} mine=${mine} can=${can} team=${team} toggleTeam=${toggleTeam} />`,
      )}
    <//>
  </div>`;
}
