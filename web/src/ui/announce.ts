let region: HTMLElement | undefined

/** Says something to screen readers without showing it. */
export function announce(text: string): void {
  if (!region) {
    region = document.createElement('div')
    region.className = 'sr-only'
    region.setAttribute('role', 'status')
    region.setAttribute('aria-live', 'polite')
    // React Aria hides what lies beside an open dialog, but leaves this alone.
    region.dataset.liveAnnouncer = 'true'
    document.body.append(region)
  }
  const here = region
  here.textContent = ''
  // The same words twice are read twice only when the text really changes.
  setTimeout(() => (here.textContent = text), 60)
}
