; The whole operating system of a test guest, in one boot sector.
;
; A test that looks at a VNC screen has to know which VM it sees and whether
; its keys arrive there. So this guest fills the screen with a colour that is
; only its own, prints its name, and echoes what is typed. Colour and name are
; patched into the `identity` field below by guest_image.py.
;
; The PC firmware (BIOS) loads these 512 bytes to address 0x7c00 and jumps
; there. It also does all the work: `int 0x10` calls its screen services and
; `int 0x16` its keyboard services, with the service's number in AH and the
; arguments in other registers (AH and AL are the halves of AX, and so on).
;
; Build: nasm -f bin -o guest.bin guest.asm

bits 16
org 0x7c00

NAME_AT     equ 0x0102          ; positions are row * 256 + column, from 0
ECHO_AT     equ 0x0302
ECHO_END    equ 78              ; first column not written: margins are equal

        jmp 0:start             ; firmwares disagree on the code segment here
start:
        xor ax, ax              ; data and stack: same segment as the code
        mov ds, ax
        mov ss, ax
        mov sp, 0x7c00          ; the stack grows down, away from the code
        cld                     ; let lodsb below walk forwards

        mov ax, 0x0003          ; 80x25 text, cleared to colour 7 on colour 0
        int 0x10

        ; Redefine those two colours rather than painting with others: then
        ; every cell, and whatever the firmware prints, already looks right.
        mov ax, 0x1010          ; set colour BX to DH (red), CH (green), CL (blue)
        mov bx, 0
        mov dh, [colour]
        mov ch, [colour + 1]
        mov cl, [colour + 2]
        int 0x10
        mov ax, 0x1010
        mov bx, 7
        mov dh, 63              ; white: the VGA has 6 bits for each channel
        mov cx, 63 * 256 + 63
        int 0x10

        mov ah, 0x01            ; hide the cursor: its blinking would make the
        mov cx, 0x2000          ; screen change when no key was pressed
        int 0x10

        mov dx, NAME_AT
        call move
        mov si, name
.next:  lodsb                   ; AL = next byte of the name
        test al, al
        jz empty
        call print
        jmp .next

empty:  call clear
key:    mov ah, 0x00            ; wait for a key; the firmware halts the CPU
        int 0x16                ; meanwhile, so that an idle guest costs nothing
        cmp al, 13              ; Enter
        je empty
        cmp al, ' '             ; keys that print nothing (arrows, F1, Escape)
        jb key
        cmp dl, ECHO_END        ; Clear a full line only when the next key comes:
        jb .room                ; done earlier, the last column would never be seen
        call clear
.room:  call print
        inc dx                  ; DL is the column to be written next
        jmp key

; Empty the echo line and go to its start. Keeps AX (the key); sets DX.
clear:  push ax
        mov ax, 0x0600          ; "scroll" with no distance blanks the window
        mov bh, 0x07            ; between CX and DX in colour 7 on colour 0
        mov cx, ECHO_AT & 0xff00
        mov dx, ECHO_AT & 0xff00 | 79
        int 0x10
        mov dx, ECHO_AT
        call move
        pop ax
        ret

; Put the (hidden) cursor at DX.
move:   mov ah, 0x02
        mov bh, 0
        int 0x10
        ret

; Print AL at the cursor, which moves on.
print:  mov ah, 0x0e
        mov bh, 0
        int 0x10
        ret

; What guest_image.py fills in. It finds the field by the marker, so the code
; above can change freely; nasm stops if the code grows into the field.
        times 510 - 8 - 3 - 64 - ($ - $$) db 0
identity:       db "IDENTITY"
colour:         times 3 db 0    ; red, green, blue: 0 to 63
name:           times 64 db 0   ; code page 437; at least one NUL ends it

        dw 0xaa55               ; marks the sector as bootable
