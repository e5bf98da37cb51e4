// This is not a module, so that it runs before the first paint. Otherwise a dark page would flash
// white.
try {
  const { theme } = JSON.parse(localStorage.getItem('natstream') ?? '{}');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Without a readable choice, the page has the theme of the system.
}
