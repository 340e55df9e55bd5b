"use strict";
// What is convenient, and nothing that is needed: pages work without it.
(() => {
  const root = document.documentElement;
  const recall = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
  const keep = (name, value) => { try { localStorage.setItem(name, value); } catch { /* then not */ } };

  // A choice of colours, where the system's is not wanted.
  if (recall("colours")) root.dataset.colours = recall("colours");
  const dark = () => (root.dataset.colours || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const bar = document.querySelector(".bar .wide");
  if (bar) {
    const b = document.createElement("button");
    b.type = "button";
    const name = () => { b.textContent = dark() ? "Light" : "Dark"; b.setAttribute("aria-label", dark() ? "Use light colours" : "Use dark colours"); };
    b.addEventListener("click", () => { root.dataset.colours = dark() ? "light" : "dark"; keep("colours", root.dataset.colours); name(); });
    name();
    bar.append(b);
  }

  // Commands that are copied at a press.
  for (const use of document.querySelectorAll(".use")) {
    if (!navigator.clipboard) break;
    const b = document.createElement("button");
    const client = use.querySelector("h3").textContent;
    b.type = "button";
    b.textContent = "Copy";
    b.setAttribute("aria-label", "Copy the commands for " + client);
    b.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(use.querySelector("pre").textContent);
        b.textContent = "Copied";
      } catch {
        b.textContent = "Not copied";
      }
      setTimeout(() => { b.textContent = "Copy"; }, 2000);
    });
    use.append(b);
  }

  // Filters that act at once; typing narrows what is on the page.
  const form = document.querySelector(".filters");
  if (!form) return;
  const search = form.querySelector("input");
  for (const s of form.querySelectorAll("select")) s.addEventListener("change", () => form.requestSubmit());
  const cards = [...document.querySelectorAll(".card")];
  const found = document.getElementById("found");
  const none = document.getElementById("none");
  const whole = !document.querySelector(".pages") && !search.defaultValue;
  if (whole && found) {
    search.addEventListener("input", () => {
      const want = search.value.trim().toLowerCase();
      let n = 0;
      for (const c of cards) {
        c.hidden = !c.dataset.text.toLowerCase().includes(want);
        if (!c.hidden) n++;
      }
      found.textContent = n;
      none.hidden = n > 0;
    });
  }
  addEventListener("keydown", (e) => {
    if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || /^(input|select|textarea)$/i.test(document.activeElement.tagName)) return;
    e.preventDefault();
    search.focus();
    search.select();
  });
  // Empty fields stay out of the address.
  form.addEventListener("formdata", (e) => { for (const [k, v] of [...e.formData]) if (!v) e.formData.delete(k); });
})();
