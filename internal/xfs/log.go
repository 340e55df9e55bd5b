package xfs

import "encoding/binary"

// The log as mkfs.xfs leaves it: one record that says that the filesystem was
// unmounted. All words of the log but these are zero.
const (
	logMagic    = 0xfeedbabe
	logRecord   = 512        // bytes of a record's head, and what its data is counted in
	logTicket   = 0xb0c0d0d0 // the transaction's name, which is any
	logClient   = 0xaa       // written by the log itself
	logUnmount  = 0x20
	unmountType = 0x6e55 // "Un", as its first reader stored it
)

// encodeLog writes the log's first block.
func (fs *FS) encodeLog(out []byte) {
	clear(out)
	be := binary.BigEndian
	data := max(logRecord, fs.o.SectorSize-logRecord)
	be.PutUint32(out, logMagic)
	be.PutUint32(out[4:], 1) // cycle
	be.PutUint32(out[8:], 2) // version
	be.PutUint32(out[12:], uint32(data))
	be.PutUint64(out[16:], 1<<32) // this record's number: cycle 1, block 0
	be.PutUint64(out[24:], 1<<32) // the oldest's
	be.PutUint32(out[36:], nullBlock)
	be.PutUint32(out[40:], 1) // operations
	be.PutUint32(out[44:], logTicket)
	be.PutUint32(out[300:], 1) // numbers as on Linux, low end first
	copy(out[304:], fs.o.UUID[:])
	be.PutUint32(out[320:], 32<<10) // size of the kernel's buffer

	// The operation, whose first word stands in the head and the cycle in its place.
	// So in each sector of data.
	op := out[logRecord:]
	be.PutUint32(op[4:], 8) // length of what follows the operation's head
	op[8] = logClient
	op[9] = logUnmount
	be.PutUint16(op[12:], unmountType)
	for at := 0; at < data; at += logRecord {
		be.PutUint32(op[at:], 1)
	}
}
