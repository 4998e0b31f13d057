// Sets the chosen theme before the first paint, so that the page does not flash.
try {
  const theme = localStorage.getItem("plimsoll-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is closed to this page: the system's theme holds.
}
