// The queues: who waits, for how long, and who there is to answer.
import { staffing } from "./people.js";
import { Icon, duration, html, useClock, useMemo, useState } from "./ui.js";
import { waiter } from "./words.js";

const COUNTS = [
  ["available", "available"],
  ["call", "on call"],
  ["break", "on break"],
];
const NOBODY = { available: 0, call: 0, break: 0 };

function Card({ queue, staff, now, open, toggle }) {
  return html`<button type="button" class="line" data-waiting=${queue.waiting ? "" : undefined} aria-expanded=${open} onClick=${toggle}>
    <strong class="clip">${queue.name}</strong>
    <span class="waits">${queue.waiting
      ? html`<b>${queue.waiting}</b> waiting<span class="time">${duration(now - queue.longest_waiting_since)}<span class="sr"> the longest</span></span>`
      : html`<span class="faint">Nobody waits</span>`}</span>
    <span class="staff">${COUNTS.map(([name, words]) => html`<span key=${name} data-count=${name} title="${staff[name]} ${words}">
      <${Icon} name=${name} />${staff[name]}<span class="word"> ${words}</span></span>`)}</span>
  </button>`;
}

function Callers({ queue, now }) {
  const more = queue.waiting - queue.callers.length;
  return html`<section class="callers" aria-label="Waiting in ${queue.name}">
    ${!queue.waiting && html`<p class="faint">Nobody waits in ${queue.name}.</p>`}
    <ol>${queue.callers.map((caller, at) => html`<li key=${`${caller.since} ${caller.number} ${at}`}>
      <span class="clip"><bdi>${waiter(caller).main}</bdi>${waiter(caller).more && html` <bdi class="faint">${waiter(caller).more}</bdi>`}</span>
      <span class="time">${duration(now - caller.since)}</span>
    </li>`)}</ol>
    ${more > 0 && html`<p class="faint">and ${more} more</p>`}
  </section>`;
}

/** The strip of queues; nothing on a switch without any. */
export function Queues({ desk }) {
  const now = useClock(desk);
  const [shown, show] = useState(null);
  const staff = useMemo(() => staffing(desk), [desk.seq, desk.agents.size, desk.calls.size]);
  const queues = [...desk.queues.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  if (!queues.length) return null;
  const open = desk.queues.get(shown);
  return html`<section class="queues" aria-label="Queues">
    <div class="strip" data-few=${queues.length <= 3 || undefined}>${queues.map((queue) => html`<${Card} key=${queue.name} queue=${queue}
      staff=${staff.get(queue.name) ?? NOBODY} now=${now} open=${queue === open}
      toggle=${() => show(queue === open ? null : queue.name)} />`)}</div>
    ${open && html`<${Callers} queue=${open} now=${now} />`}
  </section>`;
}
