// How fast a recall went: asked for once its end has come, however the page learnt of it.
"use strict";

(() => {
  const place = document.querySelector("#pace[hx-get]");
  if (!place) return;
  const watching = new MutationObserver(() => {
    if (!document.querySelector("#progress[data-settled]")) return;
    watching.disconnect();
    htmx.trigger(place, "settled");
  });
  watching.observe(place.parentNode, { childList: true, subtree: true, attributeFilter: ["data-settled"] });
})();
