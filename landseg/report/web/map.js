/* The map of reports and of `landseg view`: layers, opacity, a swipe between two of them, places to go to.
   Pixel (row, column) of the raster is latitude -row, longitude column of Leaflet's simple system. */
"use strict";

window.landsegMap = function (root) {
  const $ = (selector) => root.querySelector(selector);
  const all = (selector) => Array.from(root.querySelectorAll(selector));
  const data = JSON.parse($("#map-data").textContent);
  const box = $("#map");
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const bounds = (rect) => L.latLngBounds([-rect[0], rect[1]], [-rect[0] - rect[2], rect[1] + rect[3]]);
  let scene = data.scenes[0];

  const map = L.map(box, {
    crs: L.CRS.Simple,
    attributionControl: false,
    zoomSnap: data.tiles ? 1 : 0.25,
    maxZoom: 5,
    minZoom: -24,
    zoomAnimation: !still,
    fadeAnimation: !still,
    inertia: !still,
    scrollWheelZoom: Boolean(data.tiles),
  });
  // A page is scrolled through with the wheel, so in it the map takes the wheel only once it is being used.
  box.addEventListener("focusin", () => map.scrollWheelZoom.enable());
  box.addEventListener("focusout", () => { if (!data.tiles) map.scrollWheelZoom.disable(); });

  const layers = new Map();
  data.layers.forEach((layer, index) => {
    const pane = map.createPane("landseg-" + layer.id);
    pane.style.zIndex = 200 + 10 * index;
    if (layer.crisp) pane.classList.add("crisp");
    layers.set(layer.id, { pane, parts: [], on: false });
  });

  // The layers' pictures, or tiles, of the scene at hand; those of another are let go.
  function load() {
    data.layers.forEach((layer) => {
      const held = layers.get(layer.id), pane = "landseg-" + layer.id;
      held.parts.forEach((part) => part.remove());
      held.on = false;
      held.parts = layer.tiles
        ? [L.tileLayer(layer.tiles, {
            pane, bounds: bounds(layer.rect), noWrap: true, minZoom: -24, maxZoom: 5, maxNativeZoom: 0,
          })]
        : scene.pictures.filter((picture) => picture.layers[layer.id]).map((picture) =>
            L.imageOverlay(picture.layers[layer.id], bounds(picture.rect), { pane, alt: "", interactive: false }));
    });
  }

  const input = (id, kind) => $(`[data-layer="${id}"][data-kind="${kind}"]`);
  const compare = $("#compare"), swipe = $("#swipe"), divider = $("#divider");
  const left = $("#left"), right = $("#right");
  const comparing = () => Boolean(compare && compare.checked);

  function wanted(id) {
    if (!comparing()) return input(id, "shown").checked;
    if (id === left.value || id === right.value) return true;
    return id === "image" && input(id, "shown").checked; // imagery below both; anything else would hide them
  }

  function draw() {
    layers.forEach((layer, id) => {
      const on = wanted(id);
      if (on !== layer.on) layer.parts.forEach((part) => (on ? part.addTo(map) : part.remove()));
      layer.on = on;
      layer.pane.style.opacity = input(id, "opacity").value / 100;
      all(`[data-legend="${id}"]`).forEach((part) => part.classList.toggle("off", !on));
    });
    root.classList.toggle("comparing", comparing());
    if (compare) {
      all("[data-comparing]").forEach((part) => { part.hidden = !comparing(); });
      divider.hidden = !comparing();
    }
    clip();
  }

  function clip() {
    if (!compare) return;
    const size = map.getSize(), corner = map.containerPointToLayerPoint([0, 0]);
    const at = size.x * swipe.value / 100;
    divider.style.left = at + "px";
    const part = (from, to) => {
      const x = [corner.x + from, corner.x + to], y = [corner.y, corner.y + size.y];
      return `polygon(${x[0]}px ${y[0]}px, ${x[1]}px ${y[0]}px, ${x[1]}px ${y[1]}px, ${x[0]}px ${y[1]}px)`;
    };
    layers.forEach((layer, id) => {
      const one = comparing() && left.value !== right.value;
      layer.pane.style.clipPath =
        one && id === left.value ? part(0, at) : one && id === right.value ? part(at, size.x) : "";
    });
  }

  function scaleBar() {
    const bar = $("#scale");
    const pixels = 110 / 2 ** map.getZoom(), unit = scene.metres || 1;
    const power = 10 ** Math.floor(Math.log10(pixels * unit));
    const round = [5, 2, 1].map((n) => n * power).find((n) => n <= pixels * unit) || power;
    bar.style.width = (round / unit) * 2 ** map.getZoom() + "px";
    const text = (number) => String(Number(number.toPrecision(3)));
    bar.textContent = scene.metres ? (round >= 1000 ? text(round / 1000) + " km" : text(round) + " m") : text(round) + " px";
  }

  function where(event) {
    const column = event.latlng.lng, row = -event.latlng.lat, t = scene.transform;
    let text = `column ${Math.floor(column)}, row ${Math.floor(row)}`;
    if (t) {
      const digits = Math.max(0, Math.min(8, 1 - Math.floor(Math.log10(Math.abs(t[0]) + Math.abs(t[1])))));
      const x = t[0] * column + t[1] * row + t[2], y = t[3] * column + t[4] * row + t[5];
      text += ` · ${x.toFixed(digits)}, ${y.toFixed(digits)}${scene.crs ? " (" + scene.crs + ")" : ""}`;
    }
    $("#where").textContent = text;
  }

  const frames = L.layerGroup();
  function drawWindows() {
    frames.clearLayers();
    scene.windows.forEach(({ number, rect }) => {
      const style = { pane: "overlayPane", fill: false, interactive: false };
      L.rectangle(bounds(rect), { ...style, color: "#ffffff", weight: 5, opacity: 0.9 }).addTo(frames);
      L.rectangle(bounds(rect), { ...style, color: "#1a1a1a", weight: 2 }).addTo(frames);
      L.marker([-rect[0], rect[1]], {
        interactive: false, keyboard: false,
        icon: L.divIcon({ className: "window-number", html: String(number), iconSize: [20, 20], iconAnchor: [0, 0] }),
      }).addTo(frames);
    });
  }
  const framed = $("#frames");
  const drawFrames = () => (framed && framed.checked ? frames.addTo(map) : frames.remove());

  let whole;
  function home() {
    map.fitBounds(bounds(scene.extent), { animate: false });
    whole = map.getZoom();
  }

  const chooser = $("#scene"), called = box.getAttribute("aria-label");
  function enter(index) {
    scene = data.scenes[index];
    if (chooser) {
      chooser.value = String(index);
      box.setAttribute("aria-label", `${scene.name}. ${called}`);
    }
    $("#where").textContent = "";
    load();
    drawWindows();
    map.setMaxBounds(null);
    map.setMinZoom(-24);
    home();
    map.setMinZoom(Math.min(whole, 0) - 1);
    map.setMaxBounds(bounds(scene.extent).pad(0.6));
    draw();
    scaleBar();
  }
  map.on("move zoom resize viewreset zoomend moveend", clip);
  map.on("zoomend resize", scaleBar);
  map.on("mousemove", where);
  home(); // Leaflet wants a view before anything is put on it
  enter(0);

  all("[data-kind]").forEach((part) => part.addEventListener("input", draw));
  all("[data-kind=opacity]").forEach((part) => part.addEventListener("input", () => {
    part.setAttribute("aria-valuetext", part.value + " %");
  }));
  $("#home").addEventListener("click", home);
  if (chooser) chooser.addEventListener("input", () => enter(Number(chooser.value)));
  if (framed) framed.addEventListener("input", drawFrames);
  if (compare) {
    [compare, left, right].forEach((part) => part.addEventListener("input", draw));
    swipe.addEventListener("input", clip);
    divider.addEventListener("pointerdown", (down) => {
      divider.setPointerCapture(down.pointerId);
      down.preventDefault();
      const move = (event) => {
        const edge = box.getBoundingClientRect();
        swipe.value = Math.max(0, Math.min(100, 100 * (event.clientX - edge.left) / edge.width));
        clip();
      };
      divider.addEventListener("pointermove", move);
      divider.addEventListener("pointerup", () => divider.removeEventListener("pointermove", move), { once: true });
    });
  }
  // Paper has its own width: the map is drawn for it, and afterwards again for the screen.
  let before;
  window.addEventListener("beforeprint", () => {
    if (data.tiles) return;
    before = { center: map.getCenter(), zoom: map.getZoom() };
    const view = map.getBounds();
    box.classList.add("printed");
    map.invalidateSize({ animate: false });
    map.fitBounds(view.contains(bounds(scene.extent)) ? bounds(scene.extent) : view, { animate: false });
    clip();
  });
  window.addEventListener("afterprint", () => {
    if (!before) return;
    box.classList.remove("printed");
    map.invalidateSize({ animate: false });
    map.setView(before.center, before.zoom, { animate: false });
    before = undefined;
    clip();
  });
  new ResizeObserver(() => map.invalidateSize({ animate: false })).observe(box);
  drawFrames();

  return {
    map,
    scenes: data.scenes,
    goTo(rect, index = 0) {
      if (data.scenes[index] !== scene) enter(index);
      const view = map.getBoundsZoom(bounds(rect).pad(0.15));
      map.setView(bounds(rect).getCenter(), Math.min(view, 5), { animate: !still });
      box.scrollIntoView({ block: "center", behavior: still ? "auto" : "smooth" });
      box.focus({ preventScroll: true });
    },
    state() {
      const shown = {};
      layers.forEach((layer, id) => {
        shown[id] = { on: layer.on, opacity: layer.pane.style.opacity, clip: layer.pane.style.clipPath };
      });
      return { shown, scene: scene.name, zoom: map.getZoom(), center: [map.getCenter().lat, map.getCenter().lng] };
    },
  };
};
