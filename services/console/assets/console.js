// What scripts add to the pages: times in the viewer's zone, live updates, and buttons that do not
// reload. Everything works without scripts, too.

const readable = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

function localize(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    time.textContent = readable.format(moment);
    time.title = `${exact.format(moment)} (${time.dateTime})`;
  }
}

// Time fields are shown in the viewer's zone and sent in UTC.
function localizeFields() {
  const fields = [...document.querySelectorAll("input[data-time]")];
  for (const field of fields) {
    const moment = new Date(/Z$|[+-]\d\d:\d\d$/.test(field.defaultValue) ? field.defaultValue : `${field.defaultValue}Z`);
    for (const zone of field.labels[0].querySelectorAll(".zone")) zone.remove();
    if (Number.isNaN(moment.getTime())) continue;
    const local = new Date(moment.getTime() - moment.getTimezoneOffset() * 60_000);
    field.value = local.toISOString().slice(0, 16);
  }
  for (const form of new Set(fields.map((field) => field.form))) {
    form.addEventListener("formdata", ({ formData }) => {
      for (const field of fields.filter((field) => field.form === form && field.value)) {
        formData.set(field.name, new Date(field.value).toISOString().slice(0, 19));
      }
    });
  }
}

function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  localize(template.content);
  return template.content;
}

// An existing row is replaced; a new one is inserted by its id, since ids grow with time.
function place(body, html) {
  const row = parse(html).firstElementChild;
  const known = document.getElementById(row.id);
  if (known) {
    if (!known.isEqualNode(row)) known.replaceWith(row);
    return;
  }
  row.classList.add("new");
  const older = [...body.rows].find((other) => other.id < row.id);
  body.insertBefore(row, older ?? null);
  while (body.rows.length > Number(body.dataset.most)) body.lastElementChild.remove();
}

// Only what is different is replaced, so that focus and scroll position stay.
function replace(element, html) {
  const content = parse(html);
  const box = document.createElement("template");
  box.content.append(content.cloneNode(true));
  if (element.innerHTML.trim() !== box.innerHTML.trim()) element.replaceChildren(content);
}

// A hidden page closes its stream: browsers allow few connections to a host. A new stream begins
// with everything that the page may have missed.
function listen() {
  for (const element of document.querySelectorAll("[data-live]")) {
    let source;
    const open = () => {
      source = new EventSource(element.dataset.live);
      source.addEventListener("attempt", ({ data }) => place(element, data));
      source.addEventListener("log", ({ data }) => replace(element, data));
      for (const name of ["recent", "summary", "timeline", "replay"]) {
        source.addEventListener(name, ({ data }) => replace(document.getElementById(name), data));
      }
      source.addEventListener("session-ended", ({ data }) => {
        source.close();
        document.getElementById("outcome").replaceChildren(parse(data));
      });
      source.addEventListener("timeline", () => {
        const made = element.querySelector("a[href*=attempt]");
        if (made && "awaitsAttempt" in element.dataset) location.assign(made.href);
      });
    };
    const attend = () => {
      source?.close();
      if (document.visibilityState === "visible") open();
    };
    document.addEventListener("visibilitychange", attend);
    addEventListener("pagehide", () => source?.close());
    addEventListener("pageshow", ({ persisted }) => persisted && attend());
    attend();
  }
}

function bad(text) {
  const notice = document.createElement("p");
  notice.className = "notice bad";
  notice.textContent = text;
  return notice;
}

// A form whose outcome is shown on its own page.
async function submitInline(event) {
  const { target: form, submitter: button } = event;
  if (!form.dataset?.inline) return;
  event.preventDefault();
  if (button.ariaDisabled === "true") return;
  const action = button.getAttribute("formaction") ?? form.action;
  const outcome = document.getElementById("outcome");
  const words = button.textContent;
  button.ariaDisabled = "true";
  button.textContent = form.dataset.inline;
  outcome.replaceChildren();
  try {
    const answer = await fetch(action, {
      method: "POST",
      headers: { "X-Inline": "1" },
      body: new URLSearchParams(new FormData(form)),
    });
    const page = parse(await answer.text());
    // An error has a page of its own.
    const notice = answer.ok ? page : page.querySelector("main > section");
    outcome.replaceChildren(notice ?? bad(`The console answered ${answer.status}.`));
  } catch {
    outcome.replaceChildren(bad("The console does not answer. Try again in a moment."));
  }
  button.ariaDisabled = null;
  button.textContent = words;
  outcome.scrollIntoView({ block: "nearest" });
}

// A second click does not submit a form again.
function submitOnce(event) {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  if ("sent" in form.dataset) event.preventDefault();
  form.dataset.sent = "";
}

function generateSecrets() {
  for (const button of document.querySelectorAll("[data-generate]")) {
    button.addEventListener("click", (event) => {
      event.preventDefault();
      const random = crypto.getRandomValues(new Uint8Array(32));
      const field = document.getElementById(button.dataset.generate);
      field.value = `whsec_${btoa(String.fromCharCode(...random))}`;
      field.focus();
    });
  }
}

function copyButtons() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    const words = button.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = words; }, 2_000);
    });
  }
}

// The checkbox of a category sets those below it; Select All sets all.
function checkboxes() {
  const categories = [...document.querySelectorAll("[name=categories]")];
  const below = (category) => [...category.closest("fieldset").querySelectorAll("[name=event_types]")];
  const reflect = (category) => {
    const boxes = below(category);
    const count = boxes.filter((box) => box.checked).length;
    category.checked = count === boxes.length;
    category.indeterminate = count > 0 && count < boxes.length;
  };
  for (const category of categories) {
    category.addEventListener("change", () => {
      for (const box of below(category)) box.checked = category.checked;
    });
    for (const box of below(category)) box.addEventListener("change", () => reflect(category));
    reflect(category);
  }
  for (const button of document.querySelectorAll("[data-select-all]")) {
    button.addEventListener("click", (event) => {
      event.preventDefault();
      for (const box of categories.flatMap(below)) box.checked = true;
      categories.forEach(reflect);
    });
  }
}

// Elements above a row's link, such as those with a tooltip, open the row as well.
function openRow({ target }) {
  if (target.closest("a, button, [role=menu]") || String(getSelection())) return;
  target.closest("tr")?.querySelector("a.opens")?.click();
}

// The browser opens and closes menus and handles focus; the arrow keys are handled here.
function menus() {
  for (const menu of document.querySelectorAll("[role=menu]")) {
    const items = [...menu.querySelectorAll("[role=menuitem]")];
    menu.addEventListener("toggle", ({ newState }) => newState === "open" && items[0].focus());
    menu.addEventListener("keydown", (event) => {
      const at = items.indexOf(document.activeElement);
      const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      items.at(to % items.length).focus();
    });
  }
}

localize(document);
localizeFields();
listen();
document.addEventListener("click", openRow);
document.addEventListener("submit", submitInline);
document.addEventListener("submit", submitOnce);
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("[data-sent]")) delete form.dataset.sent;
});
generateSecrets();
copyButtons();
checkboxes();
menus();
document.querySelector("[aria-invalid=true]")?.focus();
