// Writing: the draft saves itself a moment after the last key; who sends waits until all is saved.
"use strict";

(() => {
  document.addEventListener("keydown", (event) => {
    const within = event.target.closest?.("[data-compose], [data-ctrl-enter]");
    if (within && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      within.requestSubmit();
    }
  });

  const form = document.querySelector("[data-compose]");
  if (!form) return;

  const QUIET = 1200; // milliseconds without a key, after which is saved
  const LONGEST = 10_000; // milliseconds after which is saved although keys are pressed
  const AGAIN = 5_000; // milliseconds after which is tried again what failed
  const OUTLIVING = 60_000; // octets of a request that goes on when the page is left; browsers take 64 KiB
  const STOPPING = [404, 409, 412]; // the draft is not there any more, is being sent, or was saved by another window

  const input = form.querySelector("#files");
  const picked = form.querySelector("#picked");
  const told = form.querySelector("#compose-told");
  const signedOut = form.querySelector("#signed-out");
  const boxes = () => [...form.querySelectorAll("input[name=drop]")];

  let typed = 0; // changes made so far, and how many of them are saved
  let kept = 0;
  let since = 0; // when the first change was made that is not saved
  let waiting = 0;
  let saving = false;
  let soon = false; // to be saved again at once
  let failed = false;
  let stopped = false;
  let foreign = false; // somebody else has signed in meanwhile
  let leaving = false;
  let afterwards = null; // what was pressed while it was saved
  let held = [];

  const unsaved = () => typed !== kept || input.files.length > 0 || boxes().some((box) => box.checked);
  const tell = (words) => {
    told.querySelector("span").textContent = words;
    told.hidden = !words;
  };

  // files stay in the input until they are saved, also those that were picked before; the form bears them all
  const hold = (files) => {
    const carrier = new DataTransfer();
    for (const file of files) carrier.items.add(file);
    input.files = carrier.files;
    held = files;
    picked.hidden = files.length === 0;
    picked.replaceChildren(...files.map((file) => {
      const item = document.createElement("li");
      item.className = "file faint";
      item.textContent = file.name;
      return item;
    }));
  };

  const pick = () => {
    const most = Number(form.dataset.most);
    let left = boxes().filter((box) => !box.checked).reduce((sum, box) => sum - Number(box.dataset.size), most);
    const taken = [];
    const refused = [];
    for (const file of [...held, ...input.files]) {
      if (file.size <= left) {
        left -= file.size;
        taken.push(file);
      } else refused.push(file);
    }
    hold(taken);
    tell(refused.length ? named(form.dataset.tooLarge, refused) : "");
  };
  const named = (text, files) => text.replace("{names}", () => files.map((file) => file.name).join(", "));

  // puts in what the server says of the draft
  const adopt = (answered, sent) => {
    const state = form.querySelector("#compose-state");
    const fresh = answered.getElementById("compose-state");
    state.replaceChildren(...fresh.childNodes);
    Object.assign(state.dataset, fresh.dataset);
    const list = form.querySelector("#compose-files");
    const freshList = answered.getElementById("compose-files");
    if (list.innerHTML !== freshList.innerHTML) {
      const before = boxes();
      const staying = before.filter((box) => !sent.boxes.includes(box));
      const at = before.indexOf(document.activeElement);
      list.replaceChildren(...freshList.childNodes);
      // files keep their order: what was ticked meanwhile is ticked still
      boxes().forEach((box, place) => { box.checked = staying[place]?.checked ?? false; });
      const place = staying.filter((box) => before.indexOf(box) < at).length;
      if (at >= 0) (boxes()[place] ?? boxes().at(-1) ?? input).focus();
    }
    show();
  };

  // whoever loads the page anew sees the draft, and can throw it away
  const show = () => {
    const { address, discard, heading } = form.querySelector("#compose-state").dataset;
    if (!address) return;
    if (location.pathname !== address) history.replaceState(history.state, "", address);
    const button = form.querySelector("button[data-discard]");
    button.setAttribute("formaction", discard);
    button.hidden = false;
    document.querySelector("[data-heading]").textContent = heading;
  };

  const filled = () => {
    const body = new FormData(form);
    if (!input.files.length) body.delete("files"); // an empty file else
    return body;
  };

  const outlives = (body) => {
    const encoder = new TextEncoder();
    let octets = 0;
    for (const [, value] of body) {
      if (value instanceof File) return false;
      octets += 200 + encoder.encode(value).length;
    }
    return octets < OUTLIVING;
  };

  // somebody has signed in anew: the token of this page is of the session before
  const renew = async () => {
    const page = await fetch(form.dataset.new, { headers: { Accept: "text/html" } });
    const other = new DOMParser().parseFromString(await page.text(), "text/html").querySelector("[data-compose]");
    if (!other) return false;
    if (other.dataset.account !== form.dataset.account) {
      stopped = foreign = true;
      tell(form.dataset.other);
      return false;
    }
    const token = form.querySelector("[name=csrf_token]");
    const fresh = other.querySelector("[name=csrf_token]").value;
    if (token.value === fresh) return false;
    token.value = fresh;
    return true;
  };

  const post = async () => {
    const body = filled();
    const headers = { "HX-Request": "true", Accept: "text/html" };
    const answer = await fetch(form.dataset.save, { method: "POST", body, headers, keepalive: outlives(body) });
    return { answer, answered: new DOMParser().parseFromString(await answer.text(), "text/html") };
  };

  const attempt = async () => {
    const at = typed;
    const sent = { files: [...input.files], boxes: boxes().filter((box) => box.checked) };
    let { answer, answered } = await post();
    if (answer.status === 403 && await renew()) ({ answer, answered } = await post());
    mailrecall.lost(false);
    signedOut.hidden = answer.status !== 204;
    failed = answer.status !== 200;
    if (stopped) return 0;
    if (!failed) {
      kept = at;
      since = performance.now();
      if (sent.files.length) hold([...input.files].slice(sent.files.length));
      adopt(answered, sent);
      if (told.dataset.refusal) tell("");
      delete told.dataset.refusal;
      return 0;
    }
    if (answer.status === 204) return AGAIN;
    const words = answered.querySelector("[data-words]")?.textContent || form.dataset.failed;
    if (answer.status === 413 && sent.files.length) {
      // the files are too large, not the text: that is saved without them
      hold([...input.files].slice(sent.files.length));
      tell(`${words} ${named(form.dataset.refused, sent.files)}`);
      delete told.dataset.refusal;
      soon = true;
      afterwards = null;
      return 0;
    }
    stopped = STOPPING.includes(answer.status);
    tell(stopped ? `${words} ${form.dataset.stopped}` : words);
    told.dataset.refusal = "yes";
    if (stopped || (answer.status < 500 && answer.status !== 429)) return 0;
    return Math.max(AGAIN, 1000 * Math.min(60, Number(answer.headers.get("Retry-After")) || 0));
  };

  const wait = (milliseconds) => {
    clearTimeout(waiting);
    waiting = setTimeout(save, milliseconds);
  };

  const save = async () => {
    clearTimeout(waiting);
    if (stopped || leaving) return;
    // two requests at once could make two drafts of one message
    if (saving) {
      soon = true;
      return;
    }
    saving = true;
    soon = false;
    form.toggleAttribute("data-saving", true);
    let again = AGAIN;
    try {
      again = await attempt();
    } catch {
      failed = true;
      mailrecall.lost(true);
    }
    saving = false;
    form.toggleAttribute("data-saving", false);
    if (afterwards && !soon && failed) afterwards = null; // the page tells why
    if (afterwards && !goesOn(afterwards.submitter)) save();
    else if (afterwards) {
      const { submitter } = afterwards;
      afterwards = null;
      form.requestSubmit(submitter);
    } else if (soon) save();
    else if (again) wait(again);
  };

  const goesOn = (submitter) => stopped || submitter?.matches("[data-discard]") || !unsaved();

  const changed = () => {
    if (!unsaved()) since = performance.now();
    typed += 1;
    wait(Math.min(QUIET, Math.max(0, since + LONGEST - performance.now())));
  };
  form.addEventListener("input", (event) => {
    if (event.target !== input && !event.target.matches("[name=drop]")) changed();
  });
  form.addEventListener("change", (event) => {
    if (event.target === input) pick();
    if (event.target === input || event.target.matches("[name=drop]")) save();
  });

  form.addEventListener("submit", (event) => {
    clearTimeout(waiting);
    if (saving || foreign || !goesOn(event.submitter)) {
      event.preventDefault();
      event.stopPropagation();
      if (!foreign) afterwards = { submitter: event.submitter };
      if (!saving) save();
    } else leaving = true;
  });
  window.addEventListener("pageshow", () => { leaving = false; });

  // what was typed last is saved when somebody leaves; where that is not sure the browser asks
  document.addEventListener("visibilitychange", () => {
    if (unsaved() && (document.visibilityState === "hidden" || failed)) save();
  });
  window.addEventListener("pagehide", () => { if (unsaved()) save(); });
  window.addEventListener("beforeunload", (event) => {
    if (!leaving && unsaved() && (saving || failed || stopped || !outlives(filled()))) event.preventDefault();
  });

  // the cursor stands above quoted text, and behind what one has written oneself
  const text = form.querySelector("textarea");
  const at = text.value.startsWith("\n") ? 0 : text.value.length;
  text.setSelectionRange(at, at);
  show();
})();
