import { X } from 'lucide-react'
import { type FormEvent, type ReactNode, useEffect, useRef } from 'react'
import { Dialog as AriaDialog } from 'react-aria-components/Dialog'
import { Form, FormContext } from 'react-aria-components/Form'
import { Heading } from 'react-aria-components/Heading'
import { Modal, ModalOverlay } from 'react-aria-components/Modal'
import { t } from '../i18n'
import { Button, IconButton } from './Button'

export interface DialogProps {
  title: string
  onClose: () => void
  children: ReactNode
  footer?: ReactNode
  wide?: boolean
  alert?: boolean
  /** Makes the dialog a form. */
  onSubmit?: () => void
  busy?: boolean
  /** Counts the answers that carried errors; the focus then goes to the first invalid field. */
  errorCount?: number
}

/** A modal dialog; on a phone a sheet from below. */
export function Dialog(p: DialogProps) {
  const form = useRef<HTMLFormElement>(null)
  useEffect(() => {
    if (!p.errorCount) return
    const first = form.current?.querySelector<HTMLElement>('[data-invalid] input, [data-invalid] textarea, [aria-invalid=true]')
    first?.focus()
  }, [p.errorCount])
  const inside = (
    <>
      <header>
        <Heading slot="title" level={2}>
          {p.title}
        </Heading>
        <IconButton label={t.common.close} icon={<X aria-hidden />} onPress={p.onClose} />
      </header>
      <div className="body">{p.children}</div>
      {p.footer && <footer>{p.footer}</footer>}
    </>
  )
  return (
    <ModalOverlay isOpen isDismissable={!p.onSubmit} onOpenChange={(open) => !open && p.onClose()} className="scrim">
      <Modal className={p.wide ? 'modal wide' : 'modal'}>
        <AriaDialog className="dialog" role={p.alert ? 'alertdialog' : 'dialog'}>
          {p.onSubmit ? (
            // A Form hands its props down to Forms inside it: this dialog must not send the one that it was opened from.
            <FormContext value={null}>
              <Form
              ref={form}
              onSubmit={(e: FormEvent) => {
                e.preventDefault()
                // Nor must the event bubble up to it through the React tree.
                e.stopPropagation()
                if (!p.busy) p.onSubmit?.()
              }}
            >
              {inside}
              </Form>
            </FormContext>
          ) : (
            inside
          )}
        </AriaDialog>
      </Modal>
    </ModalOverlay>
  )
}

/** The usual two buttons of a form dialog. */
export function FormFooter(p: {
  submit: string
  busy?: boolean
  disabled?: boolean
  danger?: boolean
  onClose: () => void
}) {
  return (
    <>
      <Button onPress={p.onClose}>{t.common.cancel}</Button>
      <Button type="submit" look={p.danger ? 'danger' : 'primary'} busy={p.busy} isDisabled={p.disabled}>
        {p.submit}
      </Button>
    </>
  )
}
