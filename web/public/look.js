// Runs before the first paint, so that a dark theme does not flash light. The client keeps these up to date afterwards.
(() => {
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem("skein.preferences") || "{}");
  } catch {
    // storage may be forbidden
  }
  const dark = kept.theme === "dark" || (kept.theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  if (kept.accent) document.documentElement.dataset.accent = kept.accent;
})();
