// The hard blocks of an ECP5 as far as our netlists use them, their pins joined to vectors: Yosys
// has no models of what they do. `gates.py` refuses a block that is used in another way.

// DP16KD: port A writes, port B reads what was there before. Words of 18 and 36 bits have enables in
// the lowest bits of A's address, of which one stands for all. Words of 36 bits take the data pins of
// both ports, A's for the lower half.
module block_ram (
  input CLKA, CLKB, CEA, CEB, OCEA, OCEB, RSTA, RSTB, WEA, WEB,
  input [2:0] CSA, CSB,
  input [13:0] ADA, ADB,
  input [17:0] DIA, DIB,
  output [17:0] DOA, DOB
);
  parameter WIDTH = 18;
  parameter REGMODE_A = "NOREG";
  parameter REGMODE_B = "NOREG";
  parameter [18431:0] INIT = 18432'b0;
  localparam LOW = WIDTH == 36 ? 5 : WIDTH == 18 ? 4 : WIDTH == 9 ? 3 : WIDTH == 4 ? 2 : WIDTH - 1;
  localparam DEPTH = 1 << (14 - LOW);

  reg [WIDTH-1:0] words [0:DEPTH-1];
  reg [WIDTH-1:0] word, kept_a, kept_b;
  wire [35:0] data = {DIB, DIA};
  wire [35:0] now = word, late_a = kept_a, late_b = kept_b;
  wire [35:0] b = REGMODE_B == "NOREG" ? now : late_b;
  integer i;

  initial for (i = 0; i < DEPTH; i = i + 1) words[i] = INIT[i * WIDTH +: WIDTH];
  always @(posedge CLKA) begin
    if (CEA && WEA && (WIDTH < 18 || ADA[0])) words[ADA[13:LOW]] <= data[WIDTH-1:0];
    if (OCEA) kept_a <= word;
  end
  always @(posedge CLKB) begin
    if (CEB) word <= words[ADB[13:LOW]];
    if (OCEB) kept_b <= word;
  end
  assign DOA = REGMODE_A == "NOREG" ? now[17:0] : late_a[17:0];
  assign DOB = WIDTH == 36 ? b[35:18] : b[17:0];
endmodule

// MULT18X18D: registers before and behind the product, without enable and reset.
module multiplier (
  input CLK, CE, RST, SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
  input [17:0] A, B, C,
  output [35:0] P
);
  parameter REG_INPUTA_CLK = "NONE";
  parameter REG_INPUTB_CLK = "NONE";
  parameter REG_OUTPUT_CLK = "NONE";

  reg [17:0] a_kept, b_kept;
  reg [37:0] p_kept;
  wire [17:0] a = REG_INPUTA_CLK == "NONE" ? A : a_kept;
  wire [17:0] b = REG_INPUTB_CLK == "NONE" ? B : b_kept;
  wire signed [18:0] a_signed = {SIGNEDA & a[17], a};
  wire signed [18:0] b_signed = {SIGNEDB & b[17], b};
  wire signed [37:0] p = a_signed * b_signed;

  always @(posedge CLK) begin
    a_kept <= A;
    b_kept <= B;
    p_kept <= p;
  end
  assign P = REG_OUTPUT_CLK == "NONE" ? p[35:0] : p_kept[35:0];
endmodule

// DCCA: a clock buffer that is always on.
module clock_buffer (input CLKI, CE, output CLKO);
  assign CLKO = CLKI;
endmodule
