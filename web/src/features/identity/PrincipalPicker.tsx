import { useQuery } from '@tanstack/react-query'
import { ChevronDown, Plus, User as UserIcon, Users, X } from 'lucide-react'
import { lazy, type RefObject, Suspense, useContext, useEffect, useRef, useState } from 'react'
import { Button as AriaButton } from 'react-aria-components/Button'
import { ComboBox, ComboBoxStateContext } from 'react-aria-components/ComboBox'
import { ListBox, ListBoxItem } from 'react-aria-components/ListBox'
import { Popover } from 'react-aria-components/Popover'
import { Input, Label, Text } from 'react-aria-components/TextField'
import { t } from '../../i18n'
import { FieldErrors } from '../../ui/Field'
import { announce } from '../../ui/announce'
import { findGroups, findUsers } from './api'

const UserForm = lazy(() => import('./UserForm').then((m) => ({ default: m.UserForm })))

interface Option {
  id: string
  name: string
  hint?: string
  kind: 'user' | 'group' | 'new'
}

export interface PrincipalPickerProps {
  label: string
  hint?: string
  value: string[]
  onChange: (v: string[]) => void
  errors?: string[]
  only?: 'user' | 'group'
}

/** Chooses users and @groups as smb.conf(5) writes them, and makes a missing user on the spot. */
export function PrincipalPicker(p: PrincipalPickerProps) {
  const [text, setText] = useState('')
  const [making, setMaking] = useState<string | null>(null)
  const users = useQuery({ ...findUsers(text.trim()), enabled: p.only !== 'group' })
  const groups = useQuery({ ...findGroups(text.replace(/^@/, '').trim()), enabled: p.only !== 'user' })

  // A group picker holds plain names, an access list holds them with @.
  const at = p.only === 'group' ? '' : '@'
  const taken = new Set(p.value)
  const options: Option[] = [
    ...(p.only === 'user' ? [] : (groups.data?.items ?? [])).map(
      (g): Option => ({ id: at + g.name, name: g.name, hint: t.group.memberCount(g.members?.length ?? 0), kind: 'group' }),
    ),
    ...(p.only === 'group' ? [] : (users.data?.items ?? [])).map(
      (u): Option => ({ id: u.name, name: u.name, hint: u.fullName, kind: 'user' }),
    ),
  ].filter((o) => !taken.has(o.id))
  const word = text.trim()
  const known = options.some((o) => o.name.toLowerCase() === word.toLowerCase()) || taken.has(word)
  if (word && !word.startsWith('@') && !known && p.only !== 'group')
    options.push({ id: ' new', name: t.identity.createNamed(word), kind: 'new' })

  const close = useRef<() => void>(undefined)
  const add = (id: string) => {
    if (!taken.has(id)) {
      p.onChange([...p.value, id])
      announce(t.identity.added(id))
    }
    setText('')
  }
  const remove = (id: string) => {
    p.onChange(p.value.filter((v) => v !== id))
    announce(t.identity.removed(id))
  }

  return (
    <div className="stack tight">
      <ComboBox
        className="field"
        items={options}
        inputValue={text}
        onInputChange={setText}
        selectedKey={null}
        onSelectionChange={(key) => {
          if (key === null) return
          close.current?.()
          if (key === ' new') {
            setMaking(word)
            setText('')
          } else add(String(key))
        }}
        allowsEmptyCollection
        // Emptying the field after a choice is no reason to open the list again, over what was just chosen.
        menuTrigger={text ? 'input' : 'manual'}
        isInvalid={p.errors?.length ? true : undefined}
      >
        <Closer close={close} />
        <Label>{p.label}</Label>
        <span className="with-button">
          <Input
            placeholder={p.only === 'user' ? t.identity.findUser : p.only === 'group' ? t.identity.findGroup : t.identity.find}
            autoCapitalize="none"
            spellCheck="false"
            onKeyDown={(e) => {
              const last = p.value.at(-1)
              if (e.key === 'Backspace' && text === '' && last) remove(last)
            }}
          />
          <AriaButton className="btn quiet icon" aria-label={t.identity.showAll}>
            <ChevronDown aria-hidden />
          </AriaButton>
        </span>
        {p.hint && (
          <Text slot="description" className="hint">
            {p.hint}
          </Text>
        )}
        <FieldErrors errors={p.errors} />
        <Popover className="popover" offset={4}>
          <ListBox<Option>
            className="listbox"
            renderEmptyState={() => <div className="empty-option">{t.identity.nothingFound}</div>}
          >
            {(o) => (
              <ListBoxItem id={o.id} className="menu-item" textValue={o.name}>
                {o.kind === 'group' ? <Users aria-hidden /> : o.kind === 'user' ? <UserIcon aria-hidden /> : <Plus aria-hidden />}
                <span className="grow truncate">
                  {o.name} {o.hint && <span className="muted small">{o.hint}</span>}
                </span>
              </ListBoxItem>
            )}
          </ListBox>
        </Popover>
      </ComboBox>
      {p.value.length > 0 && (
        <ul className="tags" aria-label={t.identity.chosen(p.label)}>
          {p.value.map((v) => (
            <li key={v} className="tag">
              {v.startsWith('@') || p.only === 'group' ? <Users aria-hidden /> : <UserIcon aria-hidden />}
              <span className="truncate">{v.replace(/^@/, '')}</span>
              <button type="button" aria-label={t.identity.remove(v)} onClick={() => remove(v)}>
                <X aria-hidden />
              </button>
            </li>
          ))}
        </ul>
      )}
      <Suspense>
        {making !== null && <UserForm name={making} onClose={() => setMaking(null)} onDone={(u) => add(u.name)} />}
      </Suspense>
    </div>
  )
}


/** Lends out how to shut the list: with nothing ever selected, React Aria would leave it open after a choice. */
function Closer({ close }: { close: RefObject<(() => void) | undefined> }) {
  const state = useContext(ComboBoxStateContext)
  useEffect(() => {
    close.current = () => state?.close()
  })
  return null
}
