import { useSyncExternalStore } from 'react'

export interface Appearance {
  theme: 'system' | 'light' | 'dark'
  contrast: 'system' | 'normal' | 'high'
  density: 'comfortable' | 'compact'
}

// public/theme.js reads the same key before the first paint.
const key = 'smbgw.appearance'
const dark = matchMedia('(prefers-color-scheme: dark)')
const more = matchMedia('(prefers-contrast: more)')
const listeners = new Set<() => void>()

function load(): Appearance {
  const standard: Appearance = { theme: 'system', contrast: 'system', density: 'comfortable' }
  try {
    return { ...standard, ...(JSON.parse(localStorage.getItem(key) ?? '{}') as Partial<Appearance>) }
  } catch {
    return standard
  }
}
let current = load()

function apply(): void {
  const root = document.documentElement
  root.dataset.theme = current.theme === 'system' ? (dark.matches ? 'dark' : 'light') : current.theme
  const high = current.contrast === 'high' || (current.contrast === 'system' && more.matches)
  root.dataset.contrast = high ? 'high' : 'normal'
  root.dataset.density = current.density
}

export function setAppearance(change: Partial<Appearance>): void {
  current = { ...current, ...change }
  try {
    localStorage.setItem(key, JSON.stringify(current))
  } catch {
    // Not kept, but in effect.
  }
  apply()
  listeners.forEach((l) => l())
}

export function useAppearance(): Appearance {
  return useSyncExternalStore(
    (l) => {
      listeners.add(l)
      return () => listeners.delete(l)
    },
    () => current,
  )
}

dark.addEventListener('change', apply)
more.addEventListener('change', apply)
apply()
