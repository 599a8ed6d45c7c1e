/* A report's tables and worst windows. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));

  // Tables sort by the buttons in their heads; what means nothing stays last.
  all("table.sortable").forEach((table) => {
    const heads = all("thead th", table);
    heads.forEach((head, column) => {
      const button = head.querySelector("button");
      if (!button) return;
      button.addEventListener("click", () => {
        const ascending = head.getAttribute("aria-sort") === "descending" ||
          (!head.hasAttribute("aria-sort") && head.dataset.first === "ascending");
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        const body = table.tBodies[0];
        const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
        const order = (a, b) => {
          const [x, y] = [key(a), key(b)];
          if (x === "" || y === "") return (x === "") - (y === "");
          const numbers = [Number(x), Number(y)];
          const less = numbers.every(Number.isFinite) ? numbers[0] - numbers[1] : x.localeCompare(y);
          return ascending ? less : -less;
        };
        Array.from(body.rows).sort(order).forEach((row) => body.append(row));
      });
    });
  });

  // A table that is wider than the window says so: a shadow on the side where there is more, and a line below it.
  all(".scroll").forEach((inside) => {
    const box = document.createElement("div"), hint = document.createElement("p");
    box.className = "scroll-box";
    hint.className = "quiet no-print scroll-hint";
    hint.textContent = "This table has more columns: scroll it sideways.";
    inside.before(box);
    box.append(inside);
    box.after(hint);
    const look = () => {
      const more = inside.scrollWidth - inside.clientWidth;
      hint.hidden = more <= 1;
      box.classList.toggle("more-left", inside.scrollLeft > 1);
      box.classList.toggle("more-right", inside.scrollLeft < more - 1);
    };
    inside.addEventListener("scroll", look, { passive: true });
    const watch = new ResizeObserver(look);
    [inside, inside.firstElementChild].forEach((part) => watch.observe(part));
    look();
  });

  // The confusion matrix shows pixels, percent of the truth or hectares.
  all("input[name=confusion-unit]").forEach((choice) => choice.addEventListener("input", () => {
    all("#confusion td[data-pixels]").forEach((cell) => { cell.textContent = cell.dataset[choice.value]; });
  }));

  if (!document.querySelector("#map")) return;
  const landseg = window.landsegMap(document.querySelector("#map-section"));
  window.landseg = landseg;
  all("img[data-crop]").forEach((image) => {
    const scene = landseg.scenes[Number(image.dataset.scene)];
    image.src = scene.pictures[Number(image.dataset.crop)].layers[image.dataset.of];
  });
  all("button[data-rect]").forEach((button) => button.addEventListener("click", () => {
    landseg.goTo(JSON.parse(button.dataset.rect), Number(button.dataset.scene));
  }));
});
