import { Check, CircleAlert, Eye, EyeOff, Search, X } from 'lucide-react'
import { type ReactNode, type RefObject, useEffect, useRef, useState } from 'react'
import { Button as AriaButton } from 'react-aria-components/Button'
import { Checkbox as AriaCheckbox } from 'react-aria-components/Checkbox'
import { FieldError, Input, Label, Text, TextArea, TextField as AriaTextField } from 'react-aria-components/TextField'
import { SearchField as AriaSearch } from 'react-aria-components/SearchField'
import { t } from '../i18n'

export interface TextFieldProps {
  label: string
  value: string
  onChange: (v: string) => void
  name?: string
  hint?: ReactNode
  /** Errors of the server for this field. */
  errors?: string[]
  required?: boolean
  optional?: boolean
  autoFocus?: boolean
  autoComplete?: string
  placeholder?: string
  lines?: number
  mono?: boolean
  secret?: boolean
  readOnly?: boolean
  maxLength?: number
}

export function FieldErrors({ errors }: { errors?: string[] }) {
  return (
    <FieldError className="error">
      {(v) => {
        const texts = errors?.length ? errors : v.validationErrors
        return texts.length > 0 ? (
          <>
            <CircleAlert aria-hidden />
            <span>{texts.join(' ')}</span>
          </>
        ) : null
      }}
    </FieldError>
  )
}

/** A text field with label, hint and the server's errors. */
export function TextField(p: TextFieldProps) {
  const [shown, setShown] = useState(false)
  const cls = p.mono ? 'mono' : undefined
  return (
    <AriaTextField
      className="field"
      name={p.name}
      value={p.value}
      onChange={p.onChange}
      isRequired={p.required}
      isReadOnly={p.readOnly}
      isInvalid={p.errors?.length ? true : undefined}
      autoFocus={p.autoFocus}
      autoComplete={p.autoComplete ?? 'off'}
      type={p.secret && !shown ? 'password' : 'text'}
      maxLength={p.maxLength}
      spellCheck="false"
      validationBehavior="native"
    >
      <Label>
        {p.label} {p.optional && <span className="optional">{t.form.optional}</span>}
      </Label>
      {p.lines ? (
        <TextArea rows={p.lines} placeholder={p.placeholder} className={cls} />
      ) : p.secret ? (
        <span className="with-button">
          <Input placeholder={p.placeholder} className={cls} />
          <AriaButton
            className="btn quiet icon"
            aria-label={shown ? t.form.hidePassword : t.form.showPassword}
            onPress={() => setShown(!shown)}
          >
            {shown ? <EyeOff aria-hidden /> : <Eye aria-hidden />}
          </AriaButton>
        </span>
      ) : (
        <Input placeholder={p.placeholder} className={cls} autoCapitalize="none" />
      )}
      {p.hint && (
        <Text slot="description" className="hint">
          {p.hint}
        </Text>
      )}
      <FieldErrors errors={p.errors} />
    </AriaTextField>
  )
}

export function Checkbox(p: {
  label: ReactNode
  hint?: ReactNode
  selected: boolean
  onChange: (v: boolean) => void
}) {
  return (
    <AriaCheckbox className="check" isSelected={p.selected} onChange={p.onChange}>
      <span className="box">
        <Check aria-hidden />
      </span>
      <span>
        {p.label}
        {p.hint && <span className="muted small"> — {p.hint}</span>}
      </span>
    </AriaCheckbox>
  )
}

/** The search field of a list. "/" puts the focus here. */
export function SearchField(p: { label: string; value: string; onChange: (v: string) => void }) {
  const ref = useRef<HTMLInputElement>(null)
  useSlashKey(ref)
  // Typing must not wait for the URL, and the URL must not change with every key.
  const [text, setText] = useState(p.value)
  const sent = useRef(p.value)
  useEffect(() => {
    if (p.value !== sent.current) {
      sent.current = p.value
      setText(p.value)
    }
  }, [p.value])
  useEffect(() => {
    if (text === sent.current) return
    const timer = setTimeout(() => {
      sent.current = text
      p.onChange(text)
    }, 160)
    return () => clearTimeout(timer)
  })
  return (
    <AriaSearch className="search field" aria-label={p.label} value={text} onChange={setText}>
      <Search aria-hidden />
      <Input ref={ref} placeholder={p.label} />
      {!text && <kbd aria-hidden>/</kbd>}
      <AriaButton className="btn quiet icon" aria-label={t.list.clearSearch}>
        <X aria-hidden />
      </AriaButton>
    </AriaSearch>
  )
}

function useSlashKey(ref: RefObject<HTMLInputElement | null>) {
  useEffect(() => {
    const onKey = (e: KeyboardEvent) => {
      const el = e.target as HTMLElement
      const typing = el.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(el.tagName)
      if (e.key !== '/' || typing || e.ctrlKey || e.metaKey || e.altKey) return
      if (document.querySelector('[role=dialog],[role=alertdialog]')) return
      e.preventDefault()
      ref.current?.focus()
    }
    document.addEventListener('keydown', onKey)
    return () => document.removeEventListener('keydown', onKey)
  }, [ref])
}
