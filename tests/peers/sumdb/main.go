// SPDX-License-Identifier: Apache-2.0

// Sumdb checks a log with the code that checks Go's own checksum database, and none of ours.
//
// It opens the signed notes with keys that the caller gives, hashes every line, follows the chain, and
// compares the tree over the lines with each note of the history, with the tiles, and with proofs
// of inclusion and consistency that are made from the tiles alone.
//
//	sumdb FOLDER KEYFILE [SEQ...]
//
// FOLDER is that of one log; KEYFILE holds one verifier key a line; the entries SEQ are proven one by one,
// by default the first, the middle and the last. Exit status 0: everything holds, and a JSON object
// says what was checked. Status 1: something does not, and standard error says what.
//
// Not checked here: that each key signed only in its own epoch, and views from outside.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8 // of a tile: 256 hashes

// A found is what one run has checked.
type found struct {
	Origin      string  `json:"origin"`
	Size        int64   `json:"size"`
	Root        string  `json:"root"`
	Lines       int64   `json:"lines"`
	Torn        int     `json:"torn_bytes"`
	Tombstones  int     `json:"tombstones"`
	Checkpoints int     `json:"checkpoints"`
	Consistent  int     `json:"consistency_proofs"`
	Proven      []int64 `json:"proven"`
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: sumdb FOLDER KEYFILE [SEQ...]")
		os.Exit(2)
	}
	said, err := check(os.Args[1], os.Args[2], os.Args[3:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(said)
}

func check(folder, keyFile string, seqs []string) (*found, error) {
	keys, err := readKeys(keyFile)
	if err != nil {
		return nil, err
	}
	latest, err := os.ReadFile(filepath.Join(folder, "checkpoint"))
	if err != nil {
		return nil, err
	}
	origin, tree, err := openCheckpoint(latest, keys)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	log := &lines{ranges: map[int64][][2]int64{}, rules: map[int64]any{}}
	if err := log.readAll(folder); err != nil {
		return nil, err
	}
	if err := log.checkTombstones(tree.N); err != nil {
		return nil, err
	}
	said := &found{
		Origin: origin, Size: tree.N, Root: tree.Hash.String(),
		Lines: log.count, Torn: log.torn, Tombstones: len(log.tombstones),
	}
	if err := log.checkTree(tree); err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	if err := said.checkHistory(folder, origin, keys, log); err != nil {
		return nil, err
	}
	return said, said.checkTiles(folder, tree, log, seqs)
}

// Keys and checkpoints

func readKeys(name string) (note.Verifiers, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var keys []note.Verifier
	for _, line := range strings.Fields(string(text)) {
		key, err := note.NewVerifier(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		keys = append(keys, key)
	}
	return note.VerifierList(keys...), nil
}

func openCheckpoint(msg []byte, keys note.Verifiers) (string, tlog.Tree, error) {
	opened, err := note.Open(msg, keys)
	if err != nil {
		return "", tlog.Tree{}, err
	}
	origin, rest, _ := strings.Cut(opened.Text, "\n")
	if opened.Sigs[0].Name != origin {
		return "", tlog.Tree{}, fmt.Errorf("%q is signed in the name of %q", origin, opened.Sigs[0].Name)
	}
	// size and root stand as in a tree of the checksum database, which has another first line
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + rest))
	return origin, tree, err
}

// Lines

// A line is what is read of an entry: its place in the chain, and what deletions need.
type line struct {
	Seq       int64  `json:"seq"`
	PrevHash  string `json:"prev_hash"`
	EventType string `json:"event_type"`
	Action    string `json:"action"`
	Detail    struct {
		Ranges [][2]int64 `json:"ranges"`
		Rule   any        `json:"rule"`
	} `json:"detail"`
	Pruned *struct {
		Leaf  string `json:"leaf"`
		Rule  string `json:"rule"`
		Entry int64  `json:"entry"`
	} `json:"pruned"`
}

// Lines are all entries of a log: their hashes, and those of the tree above them.
type lines struct {
	count      int64
	torn       int // bytes after the last line feed
	last       tlog.Hash
	stored     []tlog.Hash
	tombstones []line
	ranges     map[int64][][2]int64 // of the deletion entry at a seq
	rules      map[int64]any          // the same
}

func (l *lines) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(l.stored)) {
			return nil, fmt.Errorf("%d lines do not make hash %d", l.count, index)
		}
		hashes[i] = l.stored[index]
	}
	return hashes, nil
}

func (l *lines) leaf(seq int64) tlog.Hash {
	return l.stored[tlog.StoredHashIndex(0, seq)]
}

func (l *lines) readAll(folder string) error {
	segments, err := segmentFiles(filepath.Join(folder, "log"))
	if err != nil {
		return err
	}
	for _, name := range segments {
		if l.torn > 0 {
			return fmt.Errorf("%d bytes of an unfinished line stand before %s", l.torn, name)
		}
		first, _ := strconv.ParseInt(strings.SplitN(filepath.Base(name), ".", 2)[0], 10, 64)
		if first != l.count {
			return fmt.Errorf("%s begins with entry %d, and %d came before it", name, first, l.count)
		}
		if err := l.readSegment(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// segmentFiles returns the segments in order; of one that is there plain and compressed, the plain one.
func segmentFiles(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	byFirst := map[string]string{}
	for _, entry := range entries {
		name := entry.Name()
		first := strings.TrimSuffix(strings.TrimSuffix(name, ".zst"), ".ndjson")
		if len(first) == 18 && (name == first+".ndjson" || name == first+".ndjson.zst" && byFirst[first] == "") {
			byFirst[first] = filepath.Join(folder, name)
		}
	}
	var names []string
	for _, name := range byFirst {
		names = append(names, name)
	}
	sort.Strings(names)
	return names, nil
}

func (l *lines) readSegment(name string) error {
	if !strings.HasSuffix(name, ".zst") {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		return l.readLines(file)
	}
	cat := exec.Command("zstdcat", name)
	cat.Stderr = os.Stderr
	out, err := cat.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cat.Start(); err != nil {
		return err
	}
	if err := l.readLines(out); err != nil {
		cat.Process.Kill()
		cat.Wait()
		return err
	}
	return cat.Wait()
}

func (l *lines) readLines(r io.Reader) error {
	in := bufio.NewReaderSize(r, 1<<20)
	for {
		data, err := in.ReadBytes('\n')
		if err == io.EOF {
			l.torn = len(data)
			return nil
		}
		if err != nil {
			return err
		}
		if err := l.take(data[:len(data)-1]); err != nil {
			return err
		}
	}
}

func (l *lines) take(data []byte) error {
	var said line
	if err := json.Unmarshal(data, &said); err != nil {
		return fmt.Errorf("entry %d: %w", l.count, err)
	}
	if said.Seq != l.count {
		return fmt.Errorf("entry %d stands where entry %d belongs", said.Seq, l.count)
	}
	hash := tlog.RecordHash(data)
	if said.Pruned != nil {
		if len(said.Pruned.Leaf) != hex.EncodedLen(tlog.HashSize) {
			return fmt.Errorf("entry %d: its hash is not 64 hex digits", l.count)
		}
		if _, err := hex.Decode(hash[:], []byte(said.Pruned.Leaf)); err != nil {
			return fmt.Errorf("entry %d: %w", l.count, err)
		}
		l.tombstones = append(l.tombstones, said)
	} else if want := prevHash(l.count, l.last); said.PrevHash != want {
		return fmt.Errorf("entry %d does not follow from the line before it", l.count)
	}
	if said.EventType == "retention" && said.Action == "delete" {
		l.ranges[l.count], l.rules[l.count] = said.Detail.Ranges, said.Detail.Rule
	}
	stored, err := tlog.StoredHashesForRecordHash(l.count, hash, l)
	if err != nil {
		return err
	}
	l.stored = append(l.stored, stored...)
	l.last = hash
	l.count++
	return nil
}

func prevHash(seq int64, last tlog.Hash) string {
	if seq == 0 {
		return strings.Repeat("0", 64)
	}
	return fmt.Sprintf("%x", last[:])
}

// checkTombstones wants each deleted line named, with its rule, by a deletion entry behind it that was signed.
func (l *lines) checkTombstones(signed int64) error {
	for _, gone := range l.tombstones {
		named := false
		for _, each := range l.ranges[gone.Pruned.Entry] {
			named = named || each[0] <= gone.Seq && gone.Seq <= each[1]
		}
		named = named && gone.Pruned.Rule == l.rules[gone.Pruned.Entry]
		if !named || gone.Pruned.Entry <= gone.Seq || gone.Pruned.Entry >= signed {
			return fmt.Errorf("entry %d is gone, and no signed deletion entry names it", gone.Seq)
		}
	}
	return nil
}

// checkTree compares the tree over the first lines with one that was signed.
func (l *lines) checkTree(signed tlog.Tree) error {
	if signed.N > l.count {
		return fmt.Errorf("%d entries were signed, and %d are there", signed.N, l.count)
	}
	root, err := tlog.TreeHash(signed.N, l)
	if signed.N == 0 {
		root, err = emptyRoot, nil
	}
	if err != nil {
		return err
	}
	if root != signed.Hash {
		return fmt.Errorf("the first %d lines do not give the tree that was signed", signed.N)
	}
	return nil
}

// History

func (f *found) checkHistory(folder, origin string, keys note.Verifiers, l *lines) error {
	file, err := os.Open(filepath.Join(folder, "checkpoints.ndjson"))
	if err != nil {
		return err
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 1<<16)
	var before tlog.Tree
	for {
		data, err := in.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var said struct {
			Note string `json:"note"`
		}
		if json.Unmarshal(data, &said) != nil {
			continue // cut off by a crash: it says nothing
		}
		name, tree, err := openCheckpoint([]byte(said.Note), keys)
		if err != nil {
			return fmt.Errorf("checkpoint %d of the history: %w", f.Checkpoints, err)
		}
		if name != origin {
			return fmt.Errorf("checkpoint %d of the history is of another log", f.Checkpoints)
		}
		if err := l.checkTree(tree); err != nil {
			return fmt.Errorf("checkpoint %d of the history: %w", f.Checkpoints, err)
		}
		f.Checkpoints++
		if 0 < before.N && before.N < tree.N {
			if err := checkGrown(before, tree, l); err != nil {
				return fmt.Errorf("from size %d to %d: %w", before.N, tree.N, err)
			}
			f.Consistent++
		}
		before = tree
	}
}

func checkGrown(old, new tlog.Tree, r tlog.HashReader) error {
	proof, err := tlog.ProveTree(new.N, old.N, r)
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, new.N, new.Hash, old.N, old.Hash)
}

// Tiles

// Tiles are the hash tiles of a log, in the layout of C2SP tlog-tiles.
type tiles string

func (t tiles) Height() int { return height }

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var read [][]byte
	for _, tile := range wanted {
		// Go's names carry the height, C2SP's do not
		name := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
		data, err := os.ReadFile(filepath.Join(string(t), name))
		if os.IsNotExist(err) && tile.W < 1<<height { // the tile has filled up since
			full, _, _ := strings.Cut(name, ".p/")
			data, err = os.ReadFile(filepath.Join(string(t), full))
		}
		if err != nil {
			return nil, err
		}
		if len(data) < tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%s is short", name)
		}
		read = append(read, data[:tile.W*tlog.HashSize])
	}
	return read, nil
}

func (f *found) checkTiles(folder string, tree tlog.Tree, l *lines, seqs []string) error {
	f.Proven = []int64{}
	if tree.N == 0 {
		return nil
	}
	reader := tlog.TileHashReader(tree, tiles(folder))
	for first := int64(0); first < tree.N; first += 1 << height {
		var indexes []int64
		for seq := first; seq < tree.N && seq < first+1<<height; seq++ {
			indexes = append(indexes, tlog.StoredHashIndex(0, seq))
		}
		hashes, err := reader.ReadHashes(indexes)
		if err != nil {
			return fmt.Errorf("tiles: %w", err)
		}
		for i, hash := range hashes {
			if hash != l.leaf(first+int64(i)) {
				return fmt.Errorf("tiles: entry %d has another hash", first+int64(i))
			}
		}
	}
	chosen := []int64{0, tree.N / 2, tree.N - 1}
	if len(seqs) > 0 {
		chosen = nil
	}
	for _, text := range seqs {
		seq, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return err
		}
		chosen = append(chosen, seq)
	}
	for _, seq := range chosen {
		proof, err := tlog.ProveRecord(tree.N, seq, reader)
		if err != nil {
			return fmt.Errorf("entry %d: %w", seq, err)
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, seq, l.leaf(seq)); err != nil {
			return fmt.Errorf("entry %d: %w", seq, err)
		}
		f.Proven = append(f.Proven, seq)
	}
	return nil
}

// Hashes as text

// emptyRoot is the root of a tree without leaves, SHA-256 of nothing. RFC 9162, 2.1.1.
var emptyRoot = mustParse("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")

func mustParse(text string) tlog.Hash {
	hash, err := tlog.ParseHash(text)
	if err != nil {
		panic(err)
	}
	return hash
}
