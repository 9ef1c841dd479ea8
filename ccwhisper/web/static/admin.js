// The administrator's pages: policies of queues, and the audit trail.
import { Api } from "./api.js";
import { Audit } from "./audit.js";
import { takeToken } from "./desk.js";
import { Policies } from "./policies.js";
import { SignIn } from "./signin.js";
import { html, render, useDesk, useEffect, useRef, useState, useTheme } from "./ui.js";

const VIEWS = [
  { name: "policies", title: "Policies", permission: "edit_coaching_policies", show: Policies },
  { name: "audit", title: "Audit", permission: "view_audit_trail", show: Audit },
];

/** Where in the page one is: `policies/queue` or `audit?filter`, behind the address's #. */
function place() {
  const [path, query = ""] = location.hash.slice(1).split("?", 2);
  const [view, ...rest] = path.split("/");
  return { view, of: decodeURIComponent(rest.join("/")), query };
}

/** Asks before what is not saved is lost. `guard.current` is set while there is something. */
function usePlace(guard) {
  const [here, set] = useState(place);
  const [wanted, want] = useState(null);
  const last = useRef(location.hash);
  useEffect(() => {
    const moved = () => {
      if (location.hash === last.current) return;
      if (guard.current) { // by the browser's back or forward
        want(location.hash || "#");
        history.pushState(null, "", last.current || "#");
        return;
      }
      last.current = location.hash;
      set(place());
    };
    const clicked = (event) => {
      const link = event.target.closest?.("a[href^='#']");
      if (!link || !guard.current || link.hash === location.hash) return;
      event.preventDefault();
      want(link.hash);
    };
    const leaving = (event) => guard.current && event.preventDefault();
    moved();
    addEventListener("hashchange", moved);
    addEventListener("click", clicked);
    addEventListener("beforeunload", leaving);
    return () => {
      removeEventListener("hashchange", moved);
      removeEventListener("click", clicked);
      removeEventListener("beforeunload", leaving);
    };
  }, []);
  const go = (hash) => {
    last.current = hash;
    history.pushState(null, "", hash);
    want(null);
    set(place());
  };
  return [here, go, wanted, () => want(null)];
}

function Unsaved({ stay, leave }) {
  const box = useRef(null);
  useEffect(() => box.current.showModal(), []);
  return html`<dialog ref=${box} class="help" aria-labelledby="unsaved-title" onClose=${stay}>
    <h2 id="unsaved-title">Not saved</h2>
    <p>What you have changed here is not saved, and not in force.</p>
    <div class="buttons">
      <button type="button" onClick=${() => box.current.close()}>Keep editing</button>
      <button type="button" data-bad onClick=${leave}>Discard changes</button>
    </div>
  </dialog>`;
}

function App({ api }) {
  useDesk(api);
  const [theme, nextTheme] = useTheme();
  const guard = useRef(false);
  const [here, go, wanted, stay] = usePlace(guard);
  if (!api.me) {
    return api.status === "connecting" ? html`<p class="empty">Connecting …</p>` : html`<${SignIn} desk=${api} what="administration" />`;
  }
  const views = VIEWS.filter((view) => api.may(view.permission));
  const view = views.find((each) => each.name === here.view) ?? views[0];
  return html`<div class="page admin">
    <header class="bar">
      <h1>Administration</h1>
      <nav aria-label="Views">${views.map((each) => html`<a key=${each.name} href=${`#${each.name}`} aria-current=${each === view ? "page" : undefined}>${each.title}</a>`)}</nav>
      <span class="grow"></span>
      ${api.may("view_contact_center_dashboard") && html`<a class="plain" href="/">Live calls</a>`}
      ${api.may("review_recordings") && html`<a class="plain" href="/review">Recordings</a>`}
      <button type="button" class="plain" onClick=${nextTheme}>Theme: ${theme}</button>
      <span class="who">${api.me.name}</span>
      <button type="button" class="plain" onClick=${() => api.signOut()}>Sign out</button>
    </header>
    ${view
      ? html`<${view.show} key=${view.name} api=${api} here=${here} go=${go} guard=${guard} />`
      : html`<main><p class="empty">This token permits neither to edit policies nor to read the audit trail.</p></main>`}
    ${wanted && html`<${Unsaved} stay=${stay} leave=${() => go(wanted)} />`}
  </div>`;
}

const api = new Api();
const token = takeToken();
if (token) api.connect(token);
render(html`<${App} api=${api} />`, document.getElementById("app"));
