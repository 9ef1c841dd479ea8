// The review page: recordings that one may hear, and one of them.
import { Api } from "./api.js";
import { takeToken } from "./desk.js";
import { Recording } from "./recording.js";
import { Echoes, Recordings } from "./recordings.js";
import { SignIn } from "./signin.js";
import { html, render, useDesk, useEffect, useState, useTheme } from "./ui.js";

/** Where in the page one is, behind the address's #: `?filter`, `echoes`, or a recording's id and `&t=` a moment. */
function place() {
  const hash = location.hash.slice(1);
  if (hash.startsWith("?")) return { view: "list", query: hash.slice(1) };
  if (hash === "echoes") return { view: "echoes" };
  const [id, ...rest] = hash.split("&");
  if (!id) return { view: "list", query: "" };
  const at = Number.parseFloat(new URLSearchParams(rest.join("&")).get("t"));
  try {
    return { view: "one", id: decodeURIComponent(id), at: Number.isFinite(at) ? at : null };
  } catch {
    return { view: "list", query: "" };
  }
}

function App({ api }) {
  useDesk(api);
  const [theme, nextTheme] = useTheme();
  const [here, go] = useState(place);
  const [last, keep] = useState("#"); // the list as it was when one was opened
  useEffect(() => {
    const moved = () => {
      const next = place();
      if (next.view === "list") keep(location.hash || "#");
      go(next);
    };
    moved(); // of before somebody listened
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  useEffect(() => {
    const key = (event) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.("input, textarea, select")) return;
      const field = document.getElementById("recording-text");
      if (!field || document.querySelector("dialog[open]")) return;
      event.preventDefault();
      field.focus();
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, []);
  if (!api.me) {
    return api.status === "connecting" ? html`<p class="empty">Connecting …</p>` : html`<${SignIn} desk=${api} what="review of recordings" />`;
  }
  const may = api.may("review_recordings");
  const current = (view) => (here.view === view ? "page" : undefined);
  return html`<div class="page admin review">
    <header class="bar">
      <h1>Recordings</h1>
      ${may && html`<nav aria-label="Views"><a href=${here.view === "list" ? "#" : last} aria-current=${current("list")}>List</a>
        <a href="#echoes" aria-current=${current("echoes")}>Echoes</a></nav>`}
      <span class="grow"></span>
      ${api.may("view_contact_center_dashboard") && html`<a class="plain" href="/">Live calls</a>`}
      ${(api.may("edit_coaching_policies") || api.may("view_audit_trail")) && html`<a class="plain" href="/admin">Administration</a>`}
      <button type="button" class="plain" onClick=${nextTheme}>Theme: ${theme}</button>
      <span class="who">${api.me.name}</span>
      <button type="button" class="plain" onClick=${() => api.signOut()}>Sign out</button>
    </header>
    ${!may
      ? html`<main><p class="empty">This token does not permit to review recordings.</p></main>`
      : here.view === "one" ? html`<${Recording} key=${here.id} api=${api} id=${here.id} at=${here.at} back=${last} theme=${theme} />`
      : here.view === "echoes" ? html`<${Echoes} api=${api} />`
      : html`<${Recordings} api=${api} query=${here.query} />`}
  </div>`;
}

const api = new Api();
const token = takeToken();
if (token) api.connect(token);
render(html`<${App} api=${api} />`, document.getElementById("app"));
