/* Takes the key of a link from mail from behind the # of the address, which no server sees, and puts it into the form. */
"use strict";

window.addEventListener("DOMContentLoaded", () => {
  const row = document.getElementById("link-row");
  const field = document.getElementById("id_link");
  if (location.hash.length > 1) {
    field.value = decodeURIComponent(location.hash.slice(1));
    history.replaceState(null, "", location.pathname);
  }
  row.hidden = field.value !== "";
});
