// Writing: the draft saves itself a moment after the last key; who sends waits for a saving under way.
"use strict";

(() => {
  const form = document.querySelector("[data-compose]");
  const QUIET = 1200; // milliseconds without a key, after which is saved

  document.addEventListener("keydown", (event) => {
    const within = event.target.closest?.("[data-compose], [data-ctrl-enter]");
    if (within && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      within.requestSubmit();
    }
  });
  if (!form) return;

  let waiting = 0;
  let saving = false;
  let afterwards = null;

  const save = () => {
    clearTimeout(waiting);
    waiting = 0;
    htmx.trigger(form, "save");
  };

  form.addEventListener("input", (event) => {
    if (event.target.matches("[data-save-now]")) return;
    clearTimeout(waiting);
    waiting = setTimeout(save, QUIET);
  });
  form.addEventListener("change", (event) => {
    if (event.target.matches("[data-save-now]")) save();
  });

  form.addEventListener("htmx:beforeRequest", () => { saving = true; });
  form.addEventListener("htmx:afterRequest", () => {
    saving = false;
    if (!afterwards) return;
    const { submitter } = afterwards;
    afterwards = null;
    form.requestSubmit(submitter);
  });

  // two requests at once could make two drafts of one message
  form.addEventListener("submit", (event) => {
    clearTimeout(waiting);
    waiting = 0;
    if (saving) {
      event.preventDefault();
      event.stopPropagation();
      afterwards = { submitter: event.submitter };
    }
  });

  // what was typed in the last second is saved when somebody leaves
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden" && waiting) save();
  });

  // the cursor stands above quoted text, and behind what one has written oneself
  const text = form.querySelector("textarea");
  const at = text.value.startsWith("\n") ? 0 : text.value.length;
  text.setSelectionRange(at, at);
})();
