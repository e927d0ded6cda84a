import { useMutation } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { ErrorNotice } from './Blank'
import { Dialog, FormFooter } from './Dialog'
import { TextField } from './Field'

/** Asks before something that cannot be taken back; with `type`, that name must be typed. */
export function Confirm(p: {
  title: string
  children: ReactNode
  action: string
  typed?: { name: string; label: string }
  run: () => Promise<unknown>
  onDone?: () => void
  onClose: () => void
}) {
  const [text, setText] = useState('')
  const open = !p.typed || text === p.typed.name
  const run = useMutation({
    mutationFn: p.run,
    onSuccess: () => {
      p.onClose()
      p.onDone?.()
    },
  })
  return (
    <Dialog
      alert
      title={p.title}
      onClose={p.onClose}
      busy={run.isPending}
      onSubmit={() => open && run.mutate()}
      footer={<FormFooter danger submit={p.action} busy={run.isPending} disabled={!open} onClose={p.onClose} />}
    >
      <div className="stack tight">{p.children}</div>
      {p.typed && <TextField label={p.typed.label} value={text} onChange={setText} autoFocus />}
      <ErrorNotice error={run.error} />
    </Dialog>
  )
}
