/* Charts in the text colour of the theme, also when somebody switches it: Chart.js draws on a canvas, past the styles. */
"use strict";

function colourCharts() {
  Chart.defaults.color = getComputedStyle(document.body).color;
  for (const chart of Object.values(Chart.instances)) {
    for (const scale of Object.values(chart.options.scales)) {
      scale.ticks.color = Chart.defaults.color;
    }
    chart.update();
  }
}

window.addEventListener("DOMContentLoaded", () => {
  colourCharts();
  new MutationObserver(colourCharts).observe(document.documentElement, { attributeFilter: ["class"] });
});
