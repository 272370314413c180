// What every page does in the browser: menus, notices, the browser's time zone, words on a lost connection.
// Everything listens on the document, so that it holds for parts that htmx puts in later.
"use strict";

(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `mailrecall_zone=${encodeURIComponent(zone)}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
  }

  const openMenus = () => document.querySelectorAll("details[data-menu][open]");

  document.addEventListener("click", (event) => {
    const within = event.target.closest("details[data-menu]");
    openMenus().forEach((menu) => menu === within || menu.removeAttribute("open"));
    const dismiss = event.target.closest("[data-dismiss]");
    if (dismiss) dismiss.closest(".notice").remove();
    const opener = event.target.closest("[data-dialog]");
    if (opener) document.getElementById(opener.dataset.dialog).showModal();
    if (event.target.closest("[data-close-dialog]")) event.target.closest("dialog").close();
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    openMenus().forEach((menu) => {
      menu.removeAttribute("open");
      menu.querySelector("summary").focus();
    });
  });

  // arrow keys walk an open menu
  document.addEventListener("keydown", (event) => {
    const menu = event.target.closest("details[data-menu][open]");
    if (!menu || !["ArrowDown", "ArrowUp"].includes(event.key)) return;
    event.preventDefault();
    const items = [...menu.querySelectorAll(".menu-item")];
    const step = event.key === "ArrowDown" ? 1 : -1;
    items[(items.indexOf(document.activeElement) + step + items.length) % items.length]?.focus();
  });

  // a form is sent once, however often its button is pressed
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent) event.preventDefault();
    else if (form.method === "post" && !form.matches("[data-repeatable], [hx-post]:not([hx-trigger])")) form.dataset.sent = "yes";
  });
  window.addEventListener("pageshow", () => {
    document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent);
  });

  const lost = (shown) => { document.getElementById("connection-lost").hidden = !shown; };
  // what a page asked by itself and did not get is told as long as that lasts; what somebody asked for, until they have read it
  const refused = (words) => {
    const told = document.getElementById("refusal").content.cloneNode(true);
    told.querySelector("p").textContent = words;
    document.getElementById("notices").replaceChildren(told);
  };
  document.addEventListener("htmx:sendError", () => lost(true));
  document.addEventListener("htmx:responseError", (event) => {
    const { xhr, elt, requestConfig } = event.detail;
    const answered = new DOMParser().parseFromString(xhr.responseText, "text/html");
    const words = answered.querySelector("[data-words]")?.textContent;
    if (!words || "X-Background" in requestConfig.headers) lost(true);
    else refused((xhr.status === 404 && elt.closest("[data-gone]")?.dataset.gone) || words);
  });
  // htmx says this of refusals too, right after it told of them
  document.addEventListener("htmx:afterOnLoad", (event) => { if (event.detail.successful) lost(false); });
  window.mailrecall = { lost };
})();
