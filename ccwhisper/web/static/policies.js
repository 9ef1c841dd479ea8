// Policies of queues: what is in force, where it comes from, and what is set here in its place.
import { announce, html, useEffect, useMemo, useRef, useState } from "./ui.js";
import { Beep, Choices, Lines, Whole } from "./fields.js";

const PLACES = { file: "From the file", default: "From the default policy", built_in: "Built in" };
const BACK = { file: "Back to the file’s value", default: "Back to the default policy’s value", built_in: "Back to the built-in value" };
const WAYS = { listen: "Listen", whisper: "Whisper", barge: "Barge in", take_over: "Take over" };
const WHISPERS = { off: "Not recorded", separate: "On a track of its own for each coach", excluded: "Never, by anybody" };
const TALKS = { open: "Open microphone", push: "Push-to-talk" };

/** Listening comes before all others: with the first of them it is allowed, without it nothing is. */
function ways(before, after) {
  if (before.includes("listen") && !after.includes("listen")) return [];
  return after.length && !after.includes("listen") ? ["listen", ...after] : after;
}

const FIELDS = [
  {
    key: "modes",
    title: "What coaches may do",
    hint: "Without listening, calls of this queue are not coached at all. A coach in a mode that is taken away is put back to listening at once.",
    edit: ({ path, value, set }) => html`<${Choices} path=${path} label="Modes" options=${WAYS} value=${value} set=${(next) => set(ways(value, next))} />`,
  },
  {
    key: "talk",
    title: "A session begins with",
    hint: "Unless the coach asks for the other; he can change it at any time.",
    edit: ({ path, value, set }) => html`<${Choices} path=${path} label="Microphone" options=${TALKS} value=${value} set=${set} single />`,
  },
  {
    key: "tell_listening",
    title: "Agents see who only listens",
    hint: "Who whispers or has joined the call is always shown.",
    edit: ({ value, set, path, bad }) => html`<label class="check"><input id=${path} type="checkbox" checked=${value} ...${bad(path)}
        onChange=${(event) => set(event.currentTarget.checked)} />Show “Listening” on the agent’s panel</label>`,
  },
  {
    key: "max_coaches",
    title: "Coaches on one call",
    hint: "At most, at a time.",
    edit: (props) => html`<${Whole} ...${props} label="Coaches" min="1" max="50" />`,
  },
  { key: "beep", title: "Beep", hint: "A tone that the agent alone hears.", edit: Beep },
  {
    key: "record",
    title: "Recording",
    hint: "Of calls that begin after it is saved. The caller’s track holds no whisper.",
    edit: ({ value, set, path, bad }) => html`<label class="check"><input id=${path} type="checkbox" checked=${value} ...${bad(path)}
        onChange=${(event) => set(event.currentTarget.checked)} />Record calls</label>`,
  },
  {
    key: "record_whisper",
    title: "Whispers in recordings",
    hint: "Coaches are told. “Never” in the configuration file cannot be changed here.",
    edit: ({ path, value, set }) => html`<${Choices} path=${path} label="Whispers" options=${WHISPERS} value=${value} set=${set} single />`,
  },
  {
    key: "keep_days",
    title: "Recordings are kept",
    hint: "Without a number, until somebody deletes them.",
    edit: (props) => html`<${Whole} ...${props} label="Days" min="1" max="36500" />`,
  },
  {
    key: "cues",
    title: "Cue templates",
    hint: "Lines that coaches often need, one a line, up to 100 of them.",
    edit: (props) => html`<${Lines} ...${props} label="Templates" />`,
  },
];

/** The configuration file says “Never”: it stays so, whatever was set here when it did not. */
const locked = (item, key) => key === "record_whisper" && item.whisper_recording_excluded;

/** What is set here and counts. */
function counting(item) {
  const said = item.edited.record_whisper;
  return locked(item, "record_whisper") && said !== "excluded" ? { ...item.edited, record_whisper: null } : item.edited;
}

/** A queue that nobody has named yet: everything as in the default policy. */
function unknown(queue, all) {
  const base = all[0];
  const places = Object.fromEntries(Object.entries(base.sources).map(([key, place]) => [key, place === "built_in" ? place : "default"]));
  const nothing = Object.fromEntries(FIELDS.map(({ key }) => [key, null]));
  const { policy, whisper_recording_excluded } = base;
  return { queue, policy, sources: places, edited: nothing, without: policy, without_sources: places, editable: true, whisper_recording_excluded };
}

function Field({ field, draft, item, set, error, enabled }) {
  const { key, title, hint } = field;
  const own = draft[key] !== null;
  const wrong = error?.field?.split(".")[0] === key ? error : null;
  const bad = (path) => (wrong && `f-${wrong.field}.`.startsWith(`${path}.`) ? { "aria-invalid": "true", "aria-describedby": "wrong" } : {});
  const changed = JSON.stringify(draft[key]) !== JSON.stringify(counting(item)[key]);
  return html`<fieldset class="setting" aria-labelledby=${`t-${key}`} data-own=${own || undefined} data-wrong=${wrong ? "" : undefined} disabled=${!enabled}>
    <div class="origin"><h3 id=${`t-${key}`}>${title}</h3><span class="tag">${own ? "Set here" : PLACES[item.without_sources[key]]}</span>${changed && html`<span class="tag" data-changed>Not saved</span>`}
      ${own && enabled && html`<button type="button" class="plain" onClick=${() => set(key, null)}>${BACK[item.without_sources[key]]}</button>`}</div>
    <p class="faint">${hint}</p>
    <${field.edit} path=${`f-${key}`} value=${own ? draft[key] : item.without[key]} set=${(value) => set(key, value)} bad=${bad} />
    ${wrong && html`<p class="wrong" id="wrong" role="alert">${wrong.message.replace(/^[\w.]+: /, "")}</p>`}
  </fieldset>`;
}

function Form({ api, item, saved, guard }) {
  const [draft, setDraft] = useState(() => counting(item));
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const form = useRef(null);
  const dirty = FIELDS.filter(({ key }) => JSON.stringify(draft[key]) !== JSON.stringify(counting(item)[key])).length;
  guard.current = dirty > 0;
  useEffect(() => () => { guard.current = false; }, []);
  const set = (key, value) => {
    setError(null);
    setDraft((before) => ({ ...before, [key]: value }));
  };

  const save = async (event) => {
    event?.preventDefault();
    if (busy || !guard.current) return;
    setBusy(true);
    setError(null);
    const said = Object.fromEntries(Object.entries(draft).filter(([, value]) => value !== null));
    const path = `/policies/${encodeURIComponent(item.queue)}`;
    try {
      const now = await (Object.keys(said).length ? api.ask("PUT", path, said) : api.ask("DELETE", path));
      setDraft(counting(now));
      guard.current = false;
      await saved();
    } catch (refusal) {
      setError(refusal);
    }
    setBusy(false);
  };
  useEffect(() => {
    if (!error?.field) return;
    const keys = error.field.split(".");
    let found = null;
    while (keys.length && !found) {
      found = document.getElementById(`f-${keys.join(".")}`);
      keys.pop();
    }
    found?.focus({ preventScroll: true });
    found?.scrollIntoView({ block: "center" }); // and not below the bar with the buttons
  }, [error]);
  useEffect(() => {
    const key = (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key === "s") {
        event.preventDefault();
        form.current.requestSubmit();
      }
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, []);

  const general = error && !FIELDS.some(({ key }) => error.field?.split(".")[0] === key);
  return html`<form class="policy" ref=${form} noValidate onSubmit=${save} aria-labelledby="policy-title">
    <header>
      <h2 id="policy-title" tabindex="-1">${item.queue === "default" ? "Default policy" : item.queue}</h2>
      <p class="faint">${item.queue === "default"
        ? "For calls of no queue, and for whatever another queue does not say."
        : "What is not set here is as in the configuration file, or else in the default policy."}</p>
      ${!item.editable && html`<p class="notice">Your token does not include this one: you can read it.</p>`}
    </header>
    <div class="settings">${FIELDS.map((field) => html`<${Field} key=${field.key} field=${field} draft=${draft} item=${item} set=${set} error=${error}
        enabled=${item.editable && !locked(item, field.key)} />`)}</div>
    ${item.editable && html`<footer class="save">
      ${general && html`<p class="wrong" role="alert">${error.message}</p>`}
      <p class="grow" role="status">${dirty ? `${dirty} ${dirty === 1 ? "change" : "changes"} not saved` : "Everything is saved and in force."}</p>
      <button type="button" disabled=${!dirty || busy} onClick=${() => { setError(null); setDraft(counting(item)); }}>Discard</button>
      <button type="submit" class="main" disabled=${!dirty || busy}>Save <kbd>Ctrl S</kbd></button>
    </footer>`}
  </form>`;
}

function Another({ add }) {
  const [name, setName] = useState("");
  const submit = (event) => {
    event.preventDefault();
    if (name.trim()) add(name.trim());
    setName("");
  };
  return html`<form class="another" onSubmit=${submit}>
    <label class="field grow"><span>Another queue</span>
      <input maxlength="128" placeholder="name@domain" value=${name} onInput=${(event) => setName(event.currentTarget.value)} /></label>
    <button type="submit">Add</button>
  </form>`;
}

export function Policies({ api, here, guard }) {
  const [found, setFound] = useState(null);
  const [problem, setProblem] = useState(null);
  const [more, setMore] = useState([]);
  const load = async () => {
    try {
      setFound(await api.ask("GET", "/policies"));
      setProblem(null);
    } catch (error) {
      setProblem(error.message);
    }
  };
  useEffect(() => { load(); }, []);
  const all = useMemo(() => {
    const known = found?.policies ?? [];
    const new_ = more.filter((name) => !known.some((each) => each.queue === name));
    return [...known, ...new_.map((name) => unknown(name, known))];
  }, [found, more]);
  const item = all.find((each) => each.queue === here.of) ?? all[0];
  useEffect(() => { if (item && here.of) document.getElementById("policy-title")?.focus(); }, [item?.queue]);

  const saved = async () => {
    await load();
    announce("Saved, and in force.");
  };
  const add = (name) => {
    setMore([...more, name]);
    location.hash = `#policies/${encodeURIComponent(name)}`;
  };
  return html`<main class="split">
    <nav class="list" aria-label="Queues">
      <ul>${all.map((each) => html`<li key=${each.queue}><a href=${`#policies/${encodeURIComponent(each.queue)}`} aria-current=${each === item ? "true" : undefined}>
        <span class="clip">${each.queue === "default" ? "Default policy" : each.queue}</span>
        ${Object.values(each.edited).some((value) => value !== null) && html`<span class="tag" data-own>Set here</span>`}</a></li>`)}</ul>
      ${found && api.me.queues.includes("*") && html`<${Another} add=${add} />`}
    </nav>
    <section class="detail">
      ${problem && html`<div class="notice" data-bad role="alert"><p>${problem}</p><button type="button" onClick=${load}>Try again</button></div>`}
      ${found && !found.in_force && html`<div class="notice" data-bad role="alert"><p>The database is away. Until it is back the configuration file’s policies are in force, none can be set here, and no recording begins.</p>
        <button type="button" onClick=${load}>Look again</button></div>`}
      ${item && html`<${Form} key=${item.queue} api=${api} item=${item} saved=${saved} guard=${guard} />`}
    </section>
  </main>`;
}
