// Sets the theme before the first paint. A file of its own, because the CSP allows no inline script.
(function () {
  var root = document.documentElement
  var saved = {}
  try {
    saved = JSON.parse(localStorage.getItem('smbgw.appearance') || '{}') || {}
  } catch (e) {
    // Storage is blocked or broken: follow the system.
  }
  var dark = matchMedia('(prefers-color-scheme: dark)').matches
  var more = matchMedia('(prefers-contrast: more)').matches
  root.dataset.theme = saved.theme === 'light' || saved.theme === 'dark' ? saved.theme : dark ? 'dark' : 'light'
  root.dataset.contrast = saved.contrast === 'high' || (saved.contrast !== 'normal' && more) ? 'high' : 'normal'
  root.dataset.density = saved.density === 'compact' ? 'compact' : 'comfortable'
})()
