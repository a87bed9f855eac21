// The whole script of the gallery: theme, folding code, sorting and filtering tables. Every page works without it.
(function () {
  "use strict";
  var root = document.documentElement;
  var store = {
    get: function () { try { return localStorage.getItem("lab-theme"); } catch (e) { return null; } },
    set: function (value) { try { localStorage.setItem("lab-theme", value); } catch (e) { /* the choice lasts for this page */ } }
  };
  // before the page is drawn, so that it does not flash in the other theme
  var chosen = store.get();
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

  function dark() {
    if (root.dataset.theme) return root.dataset.theme === "dark";
    return matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function themeButton() {
    var button = document.querySelector("button.theme");
    function label() {
      button.textContent = dark() ? "Light" : "Dark";
      button.setAttribute("aria-label", "Switch to the " + (dark() ? "light" : "dark") + " theme");
    }
    button.hidden = false;
    button.addEventListener("click", function () {
      root.dataset.theme = dark() ? "light" : "dark";
      store.set(root.dataset.theme);
      label();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
    label();
  }

  function foldButton() {
    var button = document.querySelector("button.fold");
    if (!button) return;
    var open = true;
    button.hidden = false;
    button.addEventListener("click", function () {
      open = !open;
      document.querySelectorAll("details.source").forEach(function (part) { part.open = open; });
      button.textContent = open ? "Hide code" : "Show code";
    });
  }

  function narrowContents() {
    var contents = document.querySelector("details.contents");
    if (contents && matchMedia("(max-width: 70rem)").matches) contents.open = false;
  }

  // what scrolls sideways can be reached and scrolled by the keyboard
  function reachable() {
    document.querySelectorAll("pre, .scroll, .formula, .output .html").forEach(function (part) {
      if (part.scrollWidth > part.clientWidth || part.scrollHeight > part.clientHeight) part.tabIndex = 0;
      else part.removeAttribute("tabindex");
    });
  }

  function value(row, column) {
    var cell = row.cells[column];
    return cell.dataset.sort !== undefined ? cell.dataset.sort : cell.textContent.trim();
  }

  function compare(a, b) {
    // what has no value comes last in either direction
    if (a === "" || b === "") return null;
    var x = Number(a), y = Number(b);
    return isNaN(x) || isNaN(y) ? a.localeCompare(b) : x - y;
  }

  function sortable(table) {
    var heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach(function (head, column) {
      var button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.textContent = "";
      head.appendChild(button);
      button.addEventListener("click", function () {
        var down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach(function (other) { other.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        var body = table.tBodies[0];
        var rows = Array.from(body.rows).map(function (row) { return [value(row, column), row]; });
        rows.sort(function (p, q) {
          var order = compare(p[0], q[0]);
          if (order === null) return (p[0] === "") - (q[0] === "");
          return down ? -order : order;
        });
        body.append.apply(body, rows.map(function (pair) { return pair[1]; }));
      });
    });
  }

  function filterable(form) {
    var filtered = document.getElementById(form.dataset.table);
    var rows = Array.from(filtered.tBodies ? filtered.tBodies[0].rows : filtered.querySelectorAll("[data-row]"));
    var sections = Array.from(filtered.querySelectorAll("section"));
    var texts = rows.map(function (row) { return row.textContent.toLowerCase(); });
    var selects = Array.from(form.querySelectorAll("select"));
    var count = form.querySelector(".count");
    function apply() {
      var words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
      var shown = 0;
      rows.forEach(function (row, i) {
        var fits = words.every(function (word) { return texts[i].indexOf(word) >= 0; }) &&
          selects.every(function (select) {
            // an attribute may hold several values, with bars between them
            return !select.value || ("|" + row.dataset[select.name] + "|").indexOf("|" + select.value + "|") >= 0;
          });
        row.hidden = !fits;
        if (fits) shown += 1;
      });
      sections.forEach(function (section) { section.hidden = !section.querySelector("[data-row]:not([hidden])"); });
      count.textContent = shown + " of " + rows.length;
    }
    // an address may choose: papers.html?theme=hubness
    var asked = new URLSearchParams(location.search);
    selects.forEach(function (select) {
      var wanted = asked.get(select.name);
      if (Array.from(select.options).some(function (option) { return option.value === wanted; })) select.value = wanted;
    });
    form.hidden = false;
    form.addEventListener("input", apply);
    form.addEventListener("submit", function (event) { event.preventDefault(); });
    apply();
  }

  function openTarget() {
    var target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    var details = target && target.querySelector("details");
    if (details) details.open = true;
  }

  document.addEventListener("DOMContentLoaded", function () {
    themeButton();
    foldButton();
    narrowContents();
    document.querySelectorAll("table.sortable").forEach(sortable);
    document.querySelectorAll("form.filters").forEach(filterable);
    openTarget();
    addEventListener("hashchange", openTarget);
    reachable();
    addEventListener("resize", reachable);
    document.addEventListener("toggle", reachable, true);
  });
})();
