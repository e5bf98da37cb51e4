// Not a module, so that it runs before the first paint: a page that flashes white is no dark page.
try {
  const { theme } = JSON.parse(localStorage.getItem('natstream') ?? '{}');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // No storage, or a stranger's: the system's theme it is.
}
