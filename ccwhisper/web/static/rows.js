// A long list of which only the rows in sight are made, so that a thousand rows are as quick as ten.
import { html, useEffect, useLayoutEffect, useRef, useState } from "./ui.js";

const SPARE = 6; // rows above and below what is in sight

/** Which of so many rows are in sight; the row at `index` is scrolled to when `chosen` changes. */
export function useRows(count, index, chosen) {
  const box = useRef(null);
  const [view, setView] = useState({ top: 0, height: 600, row: 52 });
  const measure = () => {
    const { scrollTop: top, clientHeight: height } = box.current;
    const row = parseFloat(getComputedStyle(box.current).getPropertyValue("--row")) || 52;
    setView((before) => (before.top === top && before.height === height && before.row === row ? before : { top, height, row }));
  };
  useLayoutEffect(() => {
    const watcher = new ResizeObserver(measure);
    watcher.observe(box.current);
    measure();
    return () => watcher.disconnect();
  }, []);
  useEffect(() => {
    if (index < 0) return;
    const from = index * view.row;
    const { scrollTop, clientHeight } = box.current;
    if (from < scrollTop) box.current.scrollTop = from;
    else if (from + view.row > scrollTop + clientHeight) box.current.scrollTop = from + view.row - clientHeight;
  }, [chosen]);
  const first = Math.max(0, Math.floor(view.top / view.row) - SPARE);
  const last = Math.min(count, Math.ceil((view.top + view.height) / view.row) + SPARE);
  return { box, measure, first, last, row: view.row };
}

/** The rows in sight in their places, or what is said when there are none. */
export function Rows({ sight, count, empty, children }) {
  return html`<div role="rowgroup" class="rows" ref=${sight.box} onScroll=${sight.measure} tabindex="-1">
    <div class="spread" style=${{ height: `${count * sight.row}px` }}>
      <div class="window" style=${{ transform: `translateY(${sight.first * sight.row}px)` }}>${children}</div>
    </div>
    ${!count && html`<p class="empty">${empty}</p>`}
  </div>`;
}

/** A column's heading that sorts by it. */
export function Heading({ name, filter, change, children }) {
  const active = filter.sort === name;
  const sort = active ? (filter.down ? "descending" : "ascending") : undefined;
  return html`<div role="columnheader" class="cell ${name}" aria-sort=${sort}>
    <button type="button" class="plain" onClick=${() => change({ sort: name, down: active && !filter.down })}>
      ${children}<span aria-hidden="true">${active ? (filter.down ? " ↓" : " ↑") : ""}</span>
    </button>
  </div>`;
}

/** Sorts by what `key` gives, upwards or down, and by `id` what is equal. */
export function sorted(rows, key, down, id) {
  const sign = down ? -1 : 1;
  return rows.sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    return (x < y ? -sign : x > y ? sign : 0) || (id(a) < id(b) ? -1 : 1);
  });
}

/** What is searched for, word by word. */
export function wanted(text) {
  return text.toLowerCase().split(/\s+/).filter(Boolean);
}
