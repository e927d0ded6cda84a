import { Check, Copy as CopyIcon } from 'lucide-react'
import { useEffect, useState } from 'react'
import { t } from '../i18n'
import { IconButton } from './Button'
import { announce } from './announce'

/** Writes text to the clipboard, also over plain HTTP where the clipboard API is missing. */
export async function copyText(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text)
  } catch {
    const area = document.createElement('textarea')
    area.value = text
    // Inside the open dialog, if there is one, or its focus trap would take the selection back.
    const host = document.activeElement?.closest('[role=dialog]') ?? document.body
    host.append(area)
    area.select()
    document.execCommand('copy')
    area.remove()
  }
}

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [done, setDone] = useState(false)
  useEffect(() => {
    if (!done) return
    const timer = setTimeout(() => setDone(false), 1600)
    return () => clearTimeout(timer)
  }, [done])
  return (
    <IconButton
      size="sm"
      label={label}
      icon={done ? <Check aria-hidden className="good-text" /> : <CopyIcon aria-hidden />}
      onPress={() =>
        void copyText(text).then(() => {
          setDone(true)
          announce(t.common.copied)
        })
      }
    />
  )
}

/** A command or text to copy. */
export function Code({ text, label }: { text: string; label: string }) {
  return (
    <div className="code">
      <pre>
        <code>{text}</code>
      </pre>
      <CopyButton text={text} label={label} />
    </div>
  )
}
