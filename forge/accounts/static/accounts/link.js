/* Takes the key of a link from mail from behind the # of the address, which no server sees, and puts it into the form.
   Another link in the same tab changes only what is behind the #: the page is not loaded again, so it listens. */
"use strict";

function keyIn(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return ""; // no link of ours is written so: the row asks for the link as it stands in the mail
  }
}

function take() {
  const row = document.getElementById("link-row");
  const field = document.getElementById("id_link");
  const text = location.hash.slice(1);
  if (location.href.includes("#")) history.replaceState(null, "", location.pathname);
  if (text !== "") field.value = keyIn(text);
  row.hidden = field.value !== "";
}

function takeAnother() {
  const holder = document.getElementById("link-holder");
  if (location.hash.length > 1 && holder !== null) holder.remove(); // whose the former link was
  take();
}

window.addEventListener("DOMContentLoaded", take);
window.addEventListener("hashchange", takeAnother);
