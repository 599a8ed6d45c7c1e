/* The page of `landseg view`. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  window.landseg = window.landsegMap(document.querySelector("#map-section"));
});
