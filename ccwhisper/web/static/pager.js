// A list that is searched, and read page by page, newest first. The address holds what is searched for.
import { announce, html, useEffect, useState } from "./ui.js";

const PAGE = 50;

/** The page that is looked at of `path` of the API, whose answers hold their rows as `name`; `hash` is the list's address. */
export function usePages(api, { path, name, query, hash }) {
  const [pages, setPages] = useState([null]); // where each page begins that has been looked at
  const [found, setFound] = useState(null);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const [again, setAgain] = useState(0);
  const retry = () => setAgain(again + 1);
  const search = (next) => {
    setPages([null]);
    if (next === query) retry();
    else location.hash = next ? `${hash}?${next}` : hash;
  };
  useEffect(() => setPages([null]), [query]);

  const after = pages.at(-1);
  useEffect(() => {
    const stop = new AbortController();
    const wanted = new URLSearchParams(query);
    wanted.set("limit", PAGE);
    if (after) wanted.set("after", after);
    setBusy(true);
    api.ask("GET", `${path}?${wanted}`, undefined, stop.signal).then(
      (answer) => {
        setFound(answer);
        setProblem(null);
        setBusy(false);
        announce(answer[name].length ? `${answer[name].length} ${name}` : `There are no such ${name}.`);
      },
      (error) => {
        if (error.name === "AbortError") return;
        setProblem(error.message);
        setBusy(false);
      },
    );
    return () => stop.abort();
  }, [query, after, again]);
  const rows = found?.[name] ?? [];
  return { pages, setPages, found, rows, problem, setProblem, busy, setBusy, retry, search };
}

/** What went wrong, where in the list one is, and the way to the next page; `children` are further buttons. */
export function Pager({ list, children }) {
  const { pages, setPages, found, rows, problem, busy, retry } = list;
  return html`
    ${problem && html`<div class="notice" data-bad role="alert"><p>${problem}</p><button type="button" onClick=${retry}>Try again</button></div>`}
    <div class="pager">
      <p class="grow faint">${found && (rows.length ? `Page ${pages.length}, newest first` : "")}</p>
      <button type="button" disabled=${pages.length < 2 || busy} onClick=${() => setPages(pages.slice(0, -1))}>Newer</button>
      <button type="button" disabled=${!found?.next || busy} onClick=${() => setPages([...pages, found.next])}>Older</button>
      ${children}
    </div>`;
}
