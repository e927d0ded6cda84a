import { t } from '../i18n'

/** What a condition's reason code means to people; the code itself where no words are known. */
export function reasonTitle(code: string): string {
  const words = t.reasons as Record<string, { title: string; remedy?: string }>
  return words[code]?.title ?? code
}
export function reasonRemedy(code: string): string | undefined {
  const words = t.reasons as Record<string, { title: string; remedy?: string }>
  return words[code]?.remedy
}
