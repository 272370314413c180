// The console: messages chosen on several pages of a search. What is remembered are numbers, for this tab alone.
"use strict";

(() => {
  const key = (account) => `mailrecall_chosen_${account}`;
  const asked = document.querySelector("[data-asked]");
  if (asked) {
    sessionStorage.removeItem(key(asked.dataset.asked));
    // to load the page anew must not forget what was chosen since
    history.replaceState(history.state, "", location.pathname);
  }

  const form = document.querySelector("[data-selection]");
  if (!form) return;
  const most = Number(form.dataset.most);
  const boxes = [...form.querySelectorAll("input[name=message]")];
  const all = form.querySelector("[data-all]");
  const bar = form.querySelector("[data-bar]");
  const count = form.querySelector("[data-count]");
  const clear = form.querySelector("[data-clear]");
  const write = new Intl.NumberFormat(document.documentElement.lang);

  const read = () => {
    try {
      return new Map(JSON.parse(sessionStorage.getItem(key(form.dataset.selection)) || "[]"));
    } catch {
      return new Map();
    }
  };
  let chosen = read();

  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  const show = (full = false) => {
    const sum = (at) => [...chosen.values()].reduce((total, counts) => total + counts[at], 0);
    const values = { count: write.format(chosen.size), recallable: write.format(sum(0)), total: write.format(sum(1)), most: write.format(most) };
    const text = chosen.size ? fill(form.dataset.some, values) : form.dataset.none;
    count.textContent = full ? `${text} · ${fill(form.dataset.full, values)}` : text;
    bar.toggleAttribute("data-chosen", chosen.size > 0);
    clear.hidden = chosen.size === 0;
    for (const box of boxes) box.checked = chosen.has(box.value);
    if (all) {
      all.hidden = boxes.length === 0;
      all.checked = boxes.length > 0 && boxes.every((box) => box.checked);
      all.indeterminate = !all.checked && boxes.some((box) => box.checked);
    }
  };
  const keep = () => {
    try {
      sessionStorage.setItem(key(form.dataset.selection), JSON.stringify([...chosen]));
    } catch {
      // a browser that keeps nothing still sends what this page shows
    }
  };
  const choose = (box, on) => {
    if (!on) chosen.delete(box.value);
    else if (chosen.size >= most && !chosen.has(box.value)) return false;
    else chosen.set(box.value, [Number(box.dataset.recallable), Number(box.dataset.total)]);
    return true;
  };

  form.addEventListener("change", (event) => {
    const on = event.target.checked;
    let full = false;
    if (event.target === all) full = boxes.map((box) => choose(box, on)).includes(false);
    else if (boxes.includes(event.target)) full = !choose(event.target, on);
    else return;
    keep();
    show(full);
  });
  clear.addEventListener("click", () => {
    chosen = new Map();
    keep();
    show();
    (all ?? form.querySelector("button[type=submit]")).focus();
  });
  form.addEventListener("submit", () => {
    form.querySelector("[data-others]").value = [...chosen.keys()].join(",");
  });
  // a page that the browser kept shows what was chosen since
  window.addEventListener("pageshow", () => { chosen = read(); show(); });

  // arrow keys walk from box to box
  form.addEventListener("keydown", (event) => {
    const at = boxes.indexOf(event.target);
    if (at < 0 || !["ArrowDown", "ArrowUp"].includes(event.key)) return;
    event.preventDefault();
    boxes[at + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
  });
  show();
})();
