// Takes the code out of the address that was scanned: behind its #, which no server and no log is told.
const field = document.getElementById("code");
const code = location.hash.slice(1);
if (field && code) {
  field.value = code;
  history.replaceState(null, "", location.pathname + location.search);
}
// Another language is the same code.
for (const link of document.querySelectorAll("nav a")) {
  link.addEventListener("click", () => { link.hash = field?.value ?? ""; });
}
