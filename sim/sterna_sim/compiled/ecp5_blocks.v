// The hard blocks of an ECP5 as far as our netlists use them, their pins joined to vectors: Yosys
// has no models of what they do. `gates.py` refuses a block that is used in another way.

// DP16KD: port A writes, port B reads what was there before. A word of 18 bits has two halves, which
// the lowest bits of A's address enable.
module block_ram (
  input CLKA, CLKB, CEA, CEB, OCEA, OCEB, RSTA, RSTB, WEA, WEB,
  input [2:0] CSA, CSB,
  input [13:0] ADA, ADB,
  input [17:0] DIA, DIB,
  output [17:0] DOA, DOB
);
  parameter DATA_WIDTH_B = 18;
  parameter REGMODE_B = "NOREG";
  localparam LOW = DATA_WIDTH_B == 18 ? 4 : DATA_WIDTH_B == 9 ? 3 : DATA_WIDTH_B == 4 ? 2 : DATA_WIDTH_B == 2 ? 1 : 0;
  localparam HALF = DATA_WIDTH_B == 18 ? 9 : DATA_WIDTH_B;

  reg [HALF-1:0] low [0:(1<<(14-LOW))-1];
  reg [HALF-1:0] high [0:(1<<(14-LOW))-1];
  reg [17:0] word, kept;

  always @(posedge CLKA) begin
    if (WEA && (ADA[0] || DATA_WIDTH_B != 18)) low[ADA[13:LOW]] <= DIA[HALF-1:0];
    if (WEA && ADA[1] && DATA_WIDTH_B == 18) high[ADA[13:LOW]] <= DIA[17:18-HALF];
  end
  always @(posedge CLKB) begin
    if (CEB) word <= DATA_WIDTH_B == 18 ? {high[ADB[13:LOW]], low[ADB[13:LOW]]} : low[ADB[13:LOW]];
    if (OCEB) kept <= word;
  end
  assign DOB = REGMODE_B == "OUTREG" ? kept : word;
  assign DOA = 18'b0;
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
