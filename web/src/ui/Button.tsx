import { LoaderCircle } from 'lucide-react'
import type { ReactNode } from 'react'
import { Button as AriaButton, type ButtonProps as AriaProps } from 'react-aria-components/Button'
import { Tooltip, TooltipTrigger } from 'react-aria-components/Tooltip'

type Look = 'plain' | 'primary' | 'danger' | 'quiet'

export interface ButtonProps extends Omit<AriaProps, 'className' | 'children' | 'style'> {
  look?: Look
  size?: 'sm' | 'md' | 'lg'
  full?: boolean
  busy?: boolean
  className?: string
  children: ReactNode
}

export function Button({ look = 'plain', size = 'md', full, busy, className = '', children, ...rest }: ButtonProps) {
  return (
    <AriaButton
      {...rest}
      // Not isPending: React Aria would announce it by a label that is gone a moment later.
      onPress={busy ? undefined : rest.onPress}
      data-busy={busy || undefined}
      className={`btn ${look} ${size} ${full ? 'full' : ''} ${className}`}
    >
      {busy && <LoaderCircle className="spin" aria-hidden />}
      {children}
    </AriaButton>
  )
}

export interface IconButtonProps extends Omit<ButtonProps, 'children' | 'full' | 'busy'> {
  /** The accessible name, also shown as a tooltip. */
  label: string
  icon: ReactNode
}

export function IconButton({ label, icon, look = 'quiet', className = '', ...rest }: IconButtonProps) {
  return (
    <TooltipTrigger delay={500}>
      <Button {...rest} look={look} aria-label={label} className={`icon ${className}`}>
        {icon}
      </Button>
      <Tooltip className="tooltip" offset={6}>
        {label}
      </Tooltip>
    </TooltipTrigger>
  )
}
