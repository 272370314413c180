// A recall under way: the server sends what moves on the page whenever it changes (server-sent events, R22). While they come, the
// page asks for nothing; when they do not, it asks for itself every two seconds, and at the end once.
"use strict";

(() => {
  const ASK = 2000;
  const SILENT = 30_000; // three times as long as the server is silent at most
  const AGAIN = 30_000; // after which a refused stream is tried again

  const progress = () => document.getElementById("progress");
  const events = progress()?.dataset.events;
  if (!events) return;
  let source = null;
  let opened = 0;
  let heard = 0;
  let asked = performance.now();

  const within = (moment, span) => performance.now() - moment < span;
  const settled = () => !progress() || progress().matches("[data-settled]");
  const comes = () => source.readyState === EventSource.OPEN && within(heard, SILENT);
  const hear = () => { heard = performance.now(); mailrecall.lost(false); };

  const ask = () => {
    asked = performance.now();
    htmx.trigger(progress(), "refresh");
  };

  // parts of a page that are put in anew are not read out; this one stays, and only its words change
  const words = () => [...document.querySelectorAll("#progress [data-told]")].map((one) => one.textContent.trim()).join(" ");
  let last = words();
  const tell = () => {
    if (words() === last) return;
    last = words();
    document.getElementById("told").textContent = last;
  };

  const put = (event) => {
    hear();
    const part = document.getElementById("live");
    if (part && !settled()) htmx.swap(part, event.data, { swapStyle: "innerHTML", ignoreTitle: true });
  };

  const listen = () => {
    source?.close();
    opened = performance.now();
    source = new EventSource(events);
    source.addEventListener("open", hear);
    source.addEventListener("still", hear);
    source.addEventListener("part", put);
    source.addEventListener("settled", (event) => {
      // the rest of the page takes databases to tell
      event.target.close();
      if (!settled()) ask();
    });
  };

  const look = () => {
    if (settled()) {
      clearInterval(looking);
      source.close();
    } else if (!comes() && !within(asked, ASK)) {
      ask();
      // one that was cut comes back by itself
      if (source.readyState !== EventSource.CONNECTING && !within(opened, AGAIN)) listen();
    }
  };

  document.addEventListener("htmx:afterSettle", tell);
  listen();
  const looking = setInterval(look, ASK / 4);
})();
