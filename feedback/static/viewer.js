// Makes the study page quick: slices by slider, wheel and keys, the overlay's look, segments
// found from the table. Without it the same controls work as links. No inline code, no eval.
"use strict";

(() => {
  document.documentElement.classList.add("js");

  // -- looking time: seconds in which the page was visible -----------------------------------
  let looked = 0;
  let since = document.hidden ? null : performance.now();
  const count = () => {
    if (since !== null) looked += performance.now() - since;
    since = document.hidden ? null : performance.now();
  };
  document.addEventListener("visibilitychange", count);
  const tell = (form) => {
    count();
    const field = form && form.querySelector("input[name=looked]");
    if (field) field.value = String(Math.round(looked / 1000));
  };
  document.addEventListener("submit", (event) => tell(event.target), true);
  document.addEventListener("htmx:configRequest", (event) => {
    if (event.target.matches("form") && "looked" in event.detail.parameters) {
      count();
      event.detail.parameters.looked = String(Math.round(looked / 1000));
    }
  });

  // -- the viewer --------------------------------------------------------------------------------
  const viewer = document.getElementById("viewer");
  if (!viewer || !viewer.dataset.frames) return;
  const slices = JSON.parse(document.getElementById("slices").textContent);
  const image = document.getElementById("image");
  const mask = document.getElementById("mask");
  const slider = document.getElementById("slice");
  const words = document.getElementById("slice-words");
  const opacity = document.getElementById("opacity");
  const stage = document.getElementById("stage");
  const KEPT = 400; // pictures held in memory
  const AHEAD = 6;
  const pictures = new Map(); // address -> Promise of an object URL
  const state = {
    number: Number(viewer.dataset.number),
    style: viewer.dataset.mask,
    opacity: Number(viewer.dataset.opacity),
    segment: viewer.dataset.segment,
    hovered: "",
  };
  let largest = null; // segment number -> slice, once it is known

  const load = (address) => {
    let picture = pictures.get(address);
    if (picture) {
      pictures.delete(address);
    } else {
      picture = fetch(address, { credentials: "same-origin" }).then(async (response) => {
        if (!response.ok) throw new Error(String(response.status));
        return URL.createObjectURL(await response.blob());
      });
      picture.catch(() => pictures.delete(address));
    }
    pictures.set(address, picture);
    while (pictures.size > KEPT) {
      const [oldest, gone] = pictures.entries().next().value;
      pictures.delete(oldest);
      gone.then(URL.revokeObjectURL, () => {});
    }
    return picture;
  };
  const frameOf = (number) => `${viewer.dataset.frames}${slices[number - 1]}.png`;
  const maskOf = (number) => {
    const segment = state.hovered || state.segment;
    return `${viewer.dataset.masks}${slices[number - 1]}.png?style=${state.style}${segment ? `&segment=${segment}` : ""}`;
  };

  let turn = 0;
  const show = async () => {
    const mine = ++turn;
    const number = state.number;
    slider.value = String(number);
    words.textContent = `${number} / ${slices.length}`;
    const withMask = mask && state.style !== "off";
    try {
      const [frame, marks] = await Promise.all([
        load(frameOf(number)),
        withMask ? load(maskOf(number)) : null,
      ]);
      if (mine !== turn) return; // a newer slice was asked for meanwhile
      image.setAttribute("href", frame);
      if (mask) {
        if (marks) mask.setAttribute("href", marks);
        else mask.removeAttribute("href");
        mask.setAttribute("opacity", state.style === "outline" ? "1" : String(state.opacity / 100));
      }
      viewer.dataset.shown = String(number);
      viewer.classList.remove("broken");
    } catch {
      if (mine === turn) viewer.classList.add("broken");
      return;
    }
    for (let step = 1; step <= AHEAD; step += 1) {
      for (const near of [number + step, number - step]) {
        if (mine !== turn) return;
        if (near < 1 || near > slices.length) continue;
        await load(frameOf(near)).catch(() => {});
        if (withMask) await load(maskOf(near)).catch(() => {});
      }
    }
  };
  const go = (number) => {
    const next = Math.min(Math.max(number, 1), slices.length);
    if (next === state.number) return;
    state.number = next;
    remember();
    show();
  };
  const remember = () => {
    // The links of the page and a reload keep what is looked at.
    const query = new URLSearchParams(location.search);
    query.set("slice", String(state.number));
    query.set("mask", state.style);
    if (state.segment) query.set("segment", state.segment);
    else query.delete("segment");
    history.replaceState(null, "", `?${query}`);
  };

  slider.addEventListener("input", () => go(Number(slider.value)));
  slider.form.addEventListener("submit", (event) => event.preventDefault());
  for (const [name, step] of [["previous", -1], ["next", 1]]) {
    document.getElementById(name).addEventListener("click", (event) => {
      event.preventDefault();
      go(state.number + step);
    });
  }
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    go(state.number + Math.sign(event.deltaY));
  }, { passive: false });

  const setStyle = (style) => {
    state.style = style;
    for (const link of viewer.querySelectorAll("[data-style]")) {
      if (link.dataset.style === style) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    remember();
    show();
  };
  for (const link of viewer.querySelectorAll("[data-style]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      setStyle(link.dataset.style);
    });
  }
  if (opacity) {
    opacity.addEventListener("input", () => {
      state.opacity = Number(opacity.value);
      if (mask && state.style === "fill") mask.setAttribute("opacity", String(state.opacity / 100));
    });
  }

  const steps = {
    ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1, PageUp: -10, PageDown: 10,
    Home: -Infinity, End: Infinity,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest("input, textarea, select, summary") && event.target !== slider) return;
    if (event.key in steps) {
      event.preventDefault();
      go(state.number + steps[event.key]);
    } else if (event.key.toLowerCase() === "o" && mask) {
      setStyle(state.style === "off" ? "fill" : "off");
    } else if (event.key === "Escape" && state.segment) {
      choose("");
    }
  });

  // -- segments from the table ----------------------------------------------------------------
  const cells = [...document.querySelectorAll("a[data-segment]")];
  const choose = (segment) => {
    state.segment = segment;
    for (const cell of cells) {
      if (cell.dataset.segment === segment) cell.setAttribute("aria-current", "true");
      else cell.removeAttribute("aria-current");
    }
    if (segment && state.style === "off") setStyle("fill");
    const slice = largest && largest[segment];
    if (slice !== null && slice !== undefined) state.number = slice + 1;
    remember();
    show();
  };
  for (const cell of cells) {
    cell.addEventListener("click", (event) => {
      event.preventDefault();
      choose(state.segment === cell.dataset.segment ? "" : cell.dataset.segment);
    });
    cell.addEventListener("mouseenter", () => {
      state.hovered = cell.dataset.segment;
      show();
    });
    cell.addEventListener("mouseleave", () => {
      state.hovered = "";
      show();
    });
  }

  show().then(async () => {
    if (!viewer.dataset.largest) return;
    const response = await fetch(viewer.dataset.largest, { credentials: "same-origin" });
    if (response.ok) largest = await response.json();
    viewer.dataset.ready = "true";
  }).catch(() => {});
})();
